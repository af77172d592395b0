"""The counter in a real browser, before a real node with simulated cameras."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PharmacyClient
from hardware.simulated_actors import Genuine
from tests.browser.chrome import COUNTER, Tabs, fits, no_serious_findings
from tests.browser.counter_steps import (
    agree_and_enrol,
    attest,
    begin,
    enter_basket,
    look_until_accepted,
    pair,
    picture_of_card,
    settle,
    somebody,
)

STANDS_THERE = Genuine("person-a", 2)
MARKUP = "<img src=x onerror=alert(1)>阿莫西林"


@pytest.fixture
def node(stack: DemoStack, client: PharmacyClient) -> Iterator[DemoStack]:
    """The running node; the person of the pictures stands at its counter, also afterwards."""
    stack.cameras.control("counter").show(STANDS_THERE)
    yield stack
    stack.cameras.control("counter").show(STANDS_THERE)


@pytest.fixture
def counter(tabs: Tabs, node: DemoStack) -> Page:
    """A paired browser at the counter."""
    page = tabs.open(node.terminal_url, size=COUNTER)
    pair(page, node)
    return page


def test_a_purchase_from_pairing_to_the_settlement(counter: Page, node: DemoStack) -> None:
    person = somebody()
    begin(counter, node, person)
    assert person.number not in counter.content()
    no_serious_findings(counter)
    agree_and_enrol(counter, picture_of_card("person-a"))
    counter.locator("[data-test=verify] [data-test=next]").click()
    live = counter.locator("[data-test=live]")
    expect(live).to_be_visible()
    expect(counter.locator("[data-test=guidance]")).to_contain_text("第 1 次")
    counter.wait_for_function("() => document.querySelector('[data-test=live]').naturalWidth > 0")
    look_until_accepted(counter)
    expect(live).to_have_count(0)
    enter_basket(counter, MARKUP)
    expect(counter.locator("main")).to_contain_text(MARKUP)
    settle(counter, person)
    counter.locator("[data-test=next]").click()
    row = counter.locator("[data-test=session-row]").filter(has_text="已结算").first
    expect(row).to_contain_text("李*四")
    assert person.number not in counter.content()
    assert "李小四" not in counter.content()


def test_a_refused_consent_costs_no_more_than_agreeing(counter: Page, node: DemoStack) -> None:
    person = somebody("赵六")
    begin(counter, node, person)
    agree = counter.locator("[data-test=consent] [data-test=next]").bounding_box()
    refuse = counter.locator("[data-test=refuse-consent]").bounding_box()
    assert agree is not None
    assert refuse is not None
    assert abs(agree["width"] - refuse["width"]) < 8
    assert abs(agree["height"] - refuse["height"]) < 8
    assert min(agree["height"], refuse["height"]) >= 44
    counter.locator("[data-test=refuse-consent]").click()
    attest(counter, node)
    enter_basket(counter)
    settle(counter, person)


def test_a_proxy_form_names_what_is_missing_and_takes_it_when_it_is_there(
    tabs: Tabs, counter: Page, node: DemoStack
) -> None:
    tabs.watch.allow(422)
    begin(counter, node, somebody("王老五"))
    counter.locator("[data-test=other-way] a[href$='way=proxy']").click()
    form = counter.locator("[data-test=proxy]")
    form.locator("[name='certificate.number']").fill(somebody("王梅").number)
    form.locator("[name=name]").fill("王梅")
    form.locator("[data-test=next]").click()
    expect(counter.locator("#problem")).to_contain_text("代购原因")
    expect(form.locator("[aria-invalid=true]").first).to_be_visible()
    expect(form.locator("[name=name]")).to_have_value("王梅")
    no_serious_findings(counter)
    form.locator("[name=relation]").select_option(index=1)
    form.locator("[name=reason]").fill("患者卧床")
    picture = picture_of_card("person-b")
    for name in ("patient_signature_sha256", "purchaser_signature_sha256"):
        form.locator(f"input[type=file][name={name}]").set_input_files(picture)
    form.locator("[data-test=next]").click()
    expect(counter.locator("h1")).to_contain_text("代购")
    counter.locator("[data-test=other-way] a[href$='way=document']").first.click()
    attest(counter, node)


def test_a_face_that_is_not_accepted_leads_to_another_way_without_a_score(
    counter: Page, node: DemoStack
) -> None:
    begin(counter, node, somebody("钱七"))
    agree_and_enrol(counter, picture_of_card("person-b"))
    told, offered = (counter.locator(f"[data-test={name}]") for name in ("last-decision", "attest"))
    for _ in range(3):  # a busy camera may still show who stood there before: try again
        again = counter.locator("[data-test=verify] [data-test=next]")
        again.click()
        expect(told).to_be_visible()
        assert "0." not in told.inner_text()
        expect(counter.locator("[data-test=other-way]")).to_be_visible()
        if offered.is_visible():
            break
    expect(offered).to_be_visible()  # by itself
    no_serious_findings(counter)
    attest(counter, node)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_page_of_the_counter_is_readable(tabs: Tabs, node: DemoStack, lang: str) -> None:
    page = tabs.open(node.terminal_url, lang=lang, size=COUNTER)
    page.goto(node.terminal_url)
    _readable(page)
    pair(page, node)
    _readable(page)
    at = begin(page, node, somebody("孙八"))
    for way in ("", "?way=document", "?way=proxy", "?way=self", "?way=end", "?step=prescription",
                "?step=basket"):  # fmt: skip
        page.goto(at + way)
        _readable(page)
    for path in ("/counter/pair", "/counter/leave", "/counter/consents"):
        page.goto(node.terminal_url + path)
        _readable(page)
    tabs.watch.allow(404)
    page.goto(node.terminal_url + "/nothing-here")
    _readable(page)


def test_another_counters_session_and_an_unknown_one_are_told_in_words(
    tabs: Tabs, counter: Page, node: DemoStack, client: PharmacyClient
) -> None:
    tabs.watch.allow(404, 422)
    of_another_counter = client.open()["session"]
    for session in (of_another_counter, "01900000-0000-7000-8000-000000000000", "nonsense"):
        counter.goto(f"{node.terminal_url}/counter/sessions/{session}")
        expect(counter.locator("h1")).not_to_be_empty()
        assert "Traceback" not in counter.content()
        assert "{" not in counter.locator("main").inner_text()
    client.close(of_another_counter, "abandoned")


def test_two_tabs_and_the_back_button_make_no_second_session(
    tabs: Tabs, counter: Page, node: DemoStack
) -> None:
    form = counter.locator("[data-test=new-session]")
    form.locator("[name='claim.certificate.number']").fill(somebody().number)
    form.locator("[name='claim.name']").fill("周九")
    form.locator("[name=operator]").fill("op-7")
    form.locator("[data-test=next]").dblclick()
    counter.wait_for_url("**/counter/sessions/*")
    first = counter.url
    other = tabs.another(counter.context)
    other.goto(first)
    other.locator("[data-test=refuse-consent]").click()
    attest(other, node)
    tabs.watch.allow(409)
    counter.locator("[data-test=consent] [data-test=next]").click()  # a step behind by now
    expect(counter.locator("[data-test=basket], #problem section").first).to_be_visible()
    counter.goto(node.terminal_url)
    rows = counter.locator("[data-test=session-row]").filter(has_text="周*")
    expect(rows).to_have_count(1)


def test_a_form_of_two_megabytes_is_refused_in_words_and_keeps_what_was_typed(
    tabs: Tabs, counter: Page, node: DemoStack
) -> None:
    tabs.watch.allow(413)
    tabs.watch.unreachable_is_fine = True  # the node need not read to the end
    begin(counter, node, somebody("吴十"))
    counter.locator("[data-test=refuse-consent]").click()
    attest(counter, node)
    form = counter.locator("[data-test=basket]")
    form.locator("[name='lines.0.name']").fill("阿莫西林")
    counter.evaluate(
        "() => { document.querySelector(\"[name='lines.0.trace_codes']\").value = "
        "'8'.repeat(2000000); }"
    )
    form.locator("[data-test=next]").click()
    expect(counter.locator("#problem")).not_to_be_empty()
    expect(form.locator("[name='lines.0.name']")).to_have_value("阿莫西林")


def test_a_pairing_that_was_taken_away_leads_to_pairing_and_loses_nothing(
    tabs: Tabs, counter: Page, node: DemoStack
) -> None:
    tabs.watch.allow(401)
    at = begin(counter, node, somebody("郑一"))
    other = tabs.another(counter.context)
    other.goto(f"{node.terminal_url}/counter/leave")
    other.locator("main form button").first.click()
    expect(other.locator("[data-test=pairing]")).to_be_visible()
    counter.locator("[data-test=consent] [data-test=next]").click()
    expect(counter.locator("main")).to_contain_text("配对")
    pair(counter, node)
    counter.goto(at)
    expect(counter.locator("[data-test=consent]")).to_be_visible()


def test_a_node_that_is_silent_is_not_shown_as_well(
    tabs: Tabs, counter: Page, node: DemoStack
) -> None:
    tabs.watch.allow(503)
    tabs.watch.unreachable_is_fine = True
    condition = counter.locator("[data-test=condition]")
    expect(condition.locator(".unknown")).to_have_count(0)
    silent: list[Callable[[Route], None]] = [
        lambda route: route.abort(),
        lambda route: route.fulfill(status=503, headers={"HX-Retarget": "#problem"}, body="x"),
    ]
    for answer in silent:
        counter.route("**/counter/condition*", answer)
        expect(condition).to_contain_text("没有收到本机服务的最新状态")
        expect(condition.locator(".unknown")).to_have_count(1)
        expect(counter.locator("#problem")).to_be_empty()
        fits(counter)
        counter.unroute("**/counter/condition*")
        expect(condition.locator(".unknown")).to_have_count(0)


def test_a_camera_that_is_gone_is_told_with_what_to_do(counter: Page, node: DemoStack) -> None:
    condition = counter.locator("[data-test=condition]")
    expect(condition).to_contain_text("处方")
    node.cameras.control("desk").unplug()
    try:
        expect(condition).to_contain_text("中断", timeout=30_000)
        expect(condition).to_contain_text("请检查摄像头")
        fits(counter)
        no_serious_findings(counter)
    finally:
        node.cameras.control("desk").plug()
    expect(condition).not_to_contain_text("中断", timeout=30_000)


def test_a_central_that_is_gone_does_not_stop_the_counter(counter: Page, node: DemoStack) -> None:
    condition = counter.locator("[data-test=condition]")
    expect(condition).to_contain_text("中心")
    node.stop("central")
    try:
        expect(condition).to_contain_text("中心离线", timeout=45_000)
        person = somebody("冯二")
        begin(counter, node, person)
        counter.locator("[data-test=refuse-consent]").click()
        attest(counter, node)
        enter_basket(counter)
        settle(counter, person)
    finally:
        node.start_central()
    counter.goto(node.terminal_url)
    expect(counter.locator("[data-test=condition]")).not_to_contain_text("中心离线", timeout=45_000)


def _readable(page: Page) -> None:
    fits(page)
    no_serious_findings(page)
