"""The page of the pharmacist on duty in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from edge.simulators.demo_config import PHARMACIST
from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PharmacyClient
from edge.terminal import pairing, pharmacists
from edge.terminal.app import create_app
from edge.verifier.duty_protocol import DutyLooked
from hardware.simulated_actors import Genuine
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore
from tests.browser.chrome import COUNTER, Tabs, fits, no_serious_findings, picture_of
from tests.browser.counter_steps import pair, picture_of_card
from tests.conftest import IDENTITY
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.serving import served

TRIES = 5  # on a busy machine pictures come so seldom that a turning face seems another one


@pytest.fixture
def kept(tmp_path: Path, clock: ManualClock) -> Iterator[NodeStore]:
    with closing(NodeStore(tmp_path / "node.sqlite3", IDENTITY, clock, SeededIds())) as opened:
        pharmacists.add(opened, "ph-3", "correct horse")
        yield opened


@pytest.fixture
def counter(tabs: Tabs, tmp_path: Path, kept: NodeStore) -> Iterator[Page]:
    """A paired browser at a counter whose verifier never recognises anybody."""
    keys = KeyDirectory(tmp_path / "keys")
    verifier = FakeVerifier(kept, keys.signer())
    verifier.answers_to = lambda _: DutyLooked(accepted=False, reasons=("MISMATCH",))
    config = config_for(tmp_path, presence={"required": True})
    app = create_app(store=kept, verifier=verifier, keys=keys, config=config)
    with served(app) as url:
        page = tabs.open(url, size=COUNTER)
        page.goto(f"{url}/?code={pairing.new_code(kept, 'counter-1', kept.clock)}")
        page.locator("[data-test=pairing] [data-test=next]").click()
        yield page


def sign_in(page: Page) -> None:
    form = page.locator("[data-test=duty-by-secret]")
    form.locator("[name=pharmacist]").fill("ph-3")
    form.locator("[name=secret]").fill("correct horse")
    form.get_by_role("button").click()


def standing(page: Page) -> Locator:
    return page.locator("[data-test=duty-standing]")


def test_a_pharmacist_signs_in_is_missed_and_confirms(
    counter: Page, tabs: Tabs, clock: ManualClock
) -> None:
    tabs.watch.allow(409)
    mark = counter.locator("[data-test=duty-mark]")
    expect(mark).to_have_text("药师未签到")
    mark.click()
    expect(standing(counter)).to_contain_text("药师未签到")
    no_serious_findings(counter)
    fits(counter)

    # The camera does not recognise them: words, and the other way is beside it on the same page.
    face = counter.locator("[data-test=duty-by-face]")
    face.locator("[name=pharmacist]").fill("ph-3")
    face.get_by_role("button").click()
    expect(counter.locator("#problem")).to_contain_text("没有认出药师本人")
    sign_in(counter)
    expect(standing(counter)).to_contain_text("药师在岗")
    expect(mark).to_have_text("药师在岗")
    expect(counter.locator("[data-test=duty-row]")).to_contain_text("ph-3")
    assert counter.locator(".duty .standing").evaluate("e => getComputedStyle(e).fontSize") == (
        "36px"
    )
    no_serious_findings(counter)
    picture_of(counter, "duty.zh")

    # The page follows by itself, without moving what is being typed.
    counter.locator("[data-test=duty-by-secret] [name=pharmacist]").fill("ph-3")
    clock.advance(timedelta(minutes=241))
    expect(standing(counter)).to_contain_text("药师不在岗")
    expect(counter.locator("[data-test=condition]")).to_contain_text("处方药暂不能结算")
    expect(counter.locator("[data-test=duty-by-secret] [name=pharmacist]")).to_have_value("ph-3")
    sign_in(counter)
    expect(standing(counter)).to_contain_text("药师在岗")
    counter.locator("[data-test=sign-out]").click()
    expect(standing(counter)).to_contain_text("药师未签到")


def test_enrolling_and_withdrawing_are_as_near_as_each_other(counter: Page) -> None:
    counter.locator("[data-test=duty-mark]").click()
    for mark in ("duty-enrol", "duty-withdraw"):
        summary = counter.locator(f"[data-test={mark}] summary")
        summary.click()
        box = summary.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    no_serious_findings(counter)
    fits(counter)
    picture_of(counter, "duty-enrol.zh")
    form = counter.locator("[data-test=duty-reference]")
    form.locator("[name=pharmacist]").fill("ph-3")
    form.locator("[name=secret]").fill("correct horse")
    form.get_by_role("button", name="我同意").click()
    expect(counter.locator("[data-test=duty-enrolled]")).to_be_visible()
    expect(counter.locator("[data-test=duty-enrol]")).not_to_have_attribute("open", "")
    counter.locator("[data-test=duty-withdraw] summary").click()
    withdraw = counter.locator("[data-test=duty-withdraw] form")
    withdraw.locator("[name=pharmacist]").fill("ph-3")
    withdraw.get_by_role("button").click()
    done = counter.locator("[data-test=duty-withdrawn]")
    expect(done).to_contain_text("1 份照片特征已删除")
    expect(done).to_contain_text("reference.erased")
    no_serious_findings(counter)
    fits(counter)


@pytest.fixture
def node(stack: DemoStack, client: PharmacyClient) -> Iterator[DemoStack]:
    """The running node with person-a before its camera; its pharmacist is on duty afterwards."""
    stack.cameras.control("counter").show(Genuine("person-a", 2))
    yield stack
    stack.cameras.control("counter").show(Genuine("person-a", 2))
    client.sign_in(PHARMACIST, stack.pharmacist_secret)


def test_a_pharmacist_is_enrolled_recognised_and_not_mistaken_by_a_real_node(
    tabs: Tabs, node: DemoStack
) -> None:
    tabs.watch.allow(409)
    page = tabs.open(node.terminal_url, size=COUNTER)
    pair(page, node)
    page.goto(f"{node.terminal_url}/counter/duty")
    page.locator("[data-test=duty-enrol] summary").click()
    form = page.locator("[data-test=duty-reference]")
    form.locator("[name=pharmacist]").fill(PHARMACIST)
    form.locator("[name=secret]").fill(node.pharmacist_secret)
    form.get_by_label("上传本人照片").check()
    form.locator("[name=picture]").set_input_files(picture_of_card("person-a"))
    form.get_by_role("button", name="我同意").click()
    expect(page.locator("[data-test=duty-enrol]")).not_to_have_attribute("open", "")

    row = page.locator("[data-test=duty-row]").filter(has_text=PHARMACIST)
    for _ in range(TRIES):
        if is_recognised(page, row):
            break
    expect(row).to_contain_text("人脸")
    expect(standing(page)).to_contain_text("药师在岗")
    sign_out(row)

    node.cameras.control("counter").show(Genuine("person-b", 1))
    for _ in range(TRIES):  # at first the film of who stood there may still be on its way
        if not is_recognised(page, row):
            break
        sign_out(row)
    expect(page.locator("#problem")).to_contain_text("没有认出药师本人")
    expect(row).to_have_count(0)


def is_recognised(page: Page, row: Locator) -> bool:
    """Sign in by face and say whether it was taken."""
    form = page.locator("[data-test=duty-by-face]")
    form.locator("[name=pharmacist]").fill(PHARMACIST)
    form.get_by_role("button").click()
    expect(row.or_(page.locator("#problem section")).first).to_be_visible()
    return row.is_visible()


def sign_out(row: Locator) -> None:
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
