"""All pages at once: both languages, the content policy, and what their parts promise."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, Template

from edge.platform.nhsa import NhsaPlatform
from edge.simulators.platform import create_platform
from edge.terminal import models
from edge.terminal.app import create_app
from edge.terminal.pages import notice
from edge.terminal.pages.fields import FIELDS, field_of
from edge.terminal.pages.forms import Posted, read
from edge.terminal.pages.once import MOST_REMEMBERED, Once
from edge.terminal.pages.path import path_of
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.store.database import NodeStore
from retention.terms.problems import Problem, Refusal
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.edge.terminal.pages.conftest import CHILD, NUMBER, Visiting, open_session
from tests.edge.terminal.pages.test_pages_flow import LINE, agree, attest, chosen
from tests.edge.terminal.pages.visitor import Page, Visitor
from tests.serving import served

TEMPLATES = Path(__file__).resolve().parents[4] / "edge" / "terminal" / "pages" / "templates"
# Shown only while an attempt runs, or by a node with a watch (test_cameras_page.py).
OF_OTHERS = {
    "guidance.html", "cameras.html", "camera_state.html",
    "duty.html", "duty_state.html", "duty_withdrawn.html",
}  # fmt: skip


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all templates that were rendered."""
    names: set[str] = set()
    inner = Environment.get_template

    def noted(self: Environment, name: str, *around: Any, **values: Any) -> Template:
        names.add(name)
        return inner(self, name, *around, **values)

    monkeypatch.setattr(Environment, "get_template", noted)
    return names


def check(page: Page, lang: str) -> None:
    """What holds for every page."""
    html = page.html
    assert "<style" not in html
    assert not re.search(r"<[^>]+\s(style|on[a-z]+|hx-on[:\w-]*)=", html)
    assert not re.search(r"<script(?![^>]*\ssrc=)", html)
    assert "{{" not in html
    assert "None" not in page.text
    if "<!doctype" in html:
        assert html.count("<h1") == 1
        assert f'<html lang="{"zh-CN" if lang == "zh" else "en"}"' in html
        own = re.sub(r"盐酸二甲双胍片|患者卧床|中文|张\*三|张\*|前台一号|前台", "", page.text)
        if lang == "en":
            assert not re.search(r"[\u4e00-\u9fff]", own), own
    addresses = re.findall(r'(?:src|href|action|hx-get|hx-post)="([^"]*)"', html)
    assert all(address.startswith(("/", "#")) for address in addresses), addresses


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_page_is_whole_in_both_languages(
    visiting: Visiting,
    pharmacist: tuple[str, str],
    verifier: FakeVerifier,
    loaded: set[str],
    lang: str,
) -> None:
    stranger = visiting(counter=None, lang=lang)
    pages = [stranger.get("/"), stranger.get("/counter/leave"), stranger.get("/nowhere")]
    visitor = visiting(lang=lang)
    pages += [visitor.get("/"), visitor.get("/counter/leave")]
    pair = visitor.get("/counter/pair")
    secret = {"pharmacist": pharmacist[0], "secret": pharmacist[1]}
    pages += [pair, visitor.send(pair.form("/counter/pair"), secret)]
    first = open_session(visitor)
    pages += [first, chosen(visitor, first, "proxy"), visitor.send(first.form("/consent"))]
    verifier.outcome, verifier.reason = "RETRY", "POSE"
    page = agree(visitor, first)
    for _ in range(2):
        pages.append(page)
        page = visitor.send(page.form("/verification"))
    pages += [page, visitor.get(f"{first.url}?way=face")]
    page = attest(visitor, page, pharmacist)
    pages += [page, visitor.get(f"{first.url}?way=renew"), visitor.get(f"{first.url}?way=upload")]
    rx = LINE | {"lines.0.prescription_required": "on", "lines.0.name": "盐酸二甲双胍片"}
    page = visitor.send(page.form("/basket"), rx)
    refused = Page(visitor.http.post(f"{first.url}/authorisation", data={"once": "1"}))
    pages += [page, refused]
    terms = {"rx_no": "RX1", "prescriber": "D1", "valid_until": "2030-01-01"}
    page = visitor.send(page.form("/prescription"), terms)
    page = visitor.send(page.form("/authorisation"))
    pages += [page, visitor.get(f"{first.url}?step=basket"), visitor.get(f"{first.url}?way=end")]
    page = visitor.send(next(f for f in page.forms if "setl_id" in f.values), {"setl_id": "S1"})
    pages += [page, visitor.send(page.form("/close")), visitor.get("/")]
    second = open_session(visitor)
    proxy = chosen(visitor, second, "proxy").form("/proxy")
    form = {
        "certificate.number": "430102199003077000", "name": "张梅", "relation": "daughter",
        "reason": "患者卧床",
    }  # fmt: skip
    pages += [visitor.send(proxy, htmx=True), visitor.send(proxy, form, files={"both": b"s"})]
    pages += [visitor.get(f"{second.url}?way=self")]
    child = open_session(visitor, **{"claim.certificate.number": CHILD})
    pages += [child, visitor.send(child.form("/proxy"), form, files={"both": b"s"})]
    unknown = open_session(visitor, **{"claim.certificate.number": "E1234567"})
    pages += [unknown, visitor.send(unknown.form("/child"))]
    ask = visitor.get("/counter/consents")
    nobody = visitor.send(ask.form("/consents"), {"certificate.number": "E1234567"})
    found = visitor.send(ask.form("/consents"), {"certificate.number": NUMBER})
    pages += [ask, nobody, found, visitor.send(found.form("/withdraw"))]
    for page in pages:
        check(page, lang)
    assert {path.name for path in TEMPLATES.iterdir()} - loaded - OF_OTHERS == set()


def test_every_label_is_of_a_field_and_every_field_of_a_form() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in TEMPLATES.iterdir())
    used = set(re.findall(r"(?:field|file)\(tr, '(\w+)', '([\w.]+)'", text))
    used |= set(re.findall(r"choice\(tr, word, '(\w+)', '([\w.]+)'", text))
    used |= set(re.findall(r"label\(tr, '(\w+)', '([\w.]+)'", text))
    assert len(used) > 20
    for form, name in used:
        if name.endswith("."):
            continue  # of a numbered row: checked with the page of its errors
        assert f"{form}.{name}" in FIELDS
    assert field_of("basket", "lines.12.quantity").zh == "数量"


def test_the_notice_says_what_the_configuration_says() -> None:
    said = notice.points(90)
    assert any("90 天" in point.says_zh for point in said)
    assert all(point.zh and point.en and point.says_en for point in said)


# -- node mode ------------------------------------------------------------------------------------


@pytest.fixture
def settling(
    store: NodeStore, verifier: FakeVerifier, keys: KeyDirectory, clock: ManualClock, tmp_path: Path
) -> Iterator[tuple[str, FastAPI]]:
    """A counter that settles by itself with a simulated platform; yields its address too."""
    platform = create_platform()
    with served(platform) as address:
        port = NhsaPlatform(
            address, institution="P43010000001", area="430100", timeout_seconds=2, clock=clock
        )
        settlement = {"mode": "node", "platform_url": address, "timeout_seconds": 2}
        config = config_for(tmp_path, settlement=settlement)
        app = create_app(store=store, verifier=verifier, keys=keys, config=config, settlement=port)
        with served(app) as url:
            yield url, app


def permitted(visitor: Visitor, pharmacist: tuple[str, str]) -> Page:
    page = chosen(visitor, open_session(visitor), "document")
    page = visitor.send(attest(visitor, page, pharmacist).form("/basket"), LINE)
    return visitor.send(page.form("/authorisation"))


def test_the_node_settles_once_however_often_it_is_pressed(
    settling: tuple[str, FastAPI], visiting: Visiting, pharmacist: tuple[str, str]
) -> None:
    visitor = visiting(address=settling[0])
    page = permitted(visitor, pharmacist)
    form = page.form("/settlement")
    wrong = visitor.send(form, {"certificate.number": "44052418800101001X"}, htmx=True)
    assert wrong.status == 409
    assert "不是同一个" in wrong.text
    pages = [visitor.send(form, {"certificate.number": NUMBER}) for _ in range(2)]
    assert ["已结算" in page.text for page in pages] == [True, True]
    assert pages[0].text == pages[1].text
    assert NUMBER not in pages[0].html


def test_a_settlement_whose_result_is_unknown_is_awaited_in_words(
    settling: tuple[str, FastAPI], visiting: Visiting, pharmacist: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from edge.platform.port import SettlementUnknown

    def silent(*_: object) -> None:
        raise SettlementUnknown("no answer")

    visitor = visiting(address=settling[0])
    page = permitted(visitor, pharmacist)
    session = page.url
    with monkeypatch.context() as patch:
        patch.setattr(NhsaPlatform, "settle", silent)
        patch.setattr(NhsaPlatform, "reverse", silent)
        part = visitor.send(page.form("/settlement"), {"certificate.number": NUMBER}, htmx=True)
        assert part.status == 409
        assert "结算结果未知" in part.text
        waiting = visitor.get(session)
        assert "不要让顾客离开" in waiting.text
        assert waiting.forms == []
        check(waiting, "zh")
        assert visitor.http.get(f"{session}/waiting").status_code == 204
    settling[1].state.settler.recover_all()
    led = visitor.http.get(f"{session}/waiting", headers={"hx-request": "true"})
    assert led.headers["hx-redirect"].endswith(session.rsplit("/", 1)[1])
    assert "已经冲正" in visitor.get(session).text


# -- the parts ------------------------------------------------------------------------------------


def test_a_form_is_done_once_and_a_refusal_may_be_put_right() -> None:
    once, done = Once(), []

    def deed() -> str:
        done.append(1)
        if len(done) == 1:
            raise Refusal(Problem(422, "INVALID_REQUEST"))
        return f"/{len(done)}"

    with pytest.raises(Refusal):
        once.do("t", "n", deed)
    assert [once.do("t", "n", deed), once.do("t", "n", deed)] == ["/2", "/2"]
    assert once.do("other", "n", deed) == "/3"


def test_a_second_press_waits_for_the_first() -> None:
    once, entered, go = Once(), threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert go.wait(30)
        return "/first"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(once.do, "t", "n", slow)
        assert entered.wait(30)
        second = pool.submit(once.do, "t", "n", lambda: "/second")
        go.set()
        assert first.result(30) == second.result(30) == "/first"


def test_only_the_last_forms_are_remembered() -> None:
    once = Once()
    for number in range(MOST_REMEMBERED + 1):
        once.do("t", str(number), lambda: "/a")
    assert once.do("t", "0", lambda: "/b") == "/b"
    assert once.do("t", str(MOST_REMEMBERED), lambda: "/b") == "/a"


@given(
    st.dictionaries(st.from_regex(r"[a-c](\.[a-c]){0,3}", fullmatch=True), st.text(), max_size=8)
)
def test_names_with_dots_become_a_tree_or_are_refused(texts: dict[str, str]) -> None:
    clashes = any(b.startswith(f"{a}.") for a in texts for b in texts)
    posted = Posted(texts, {})
    if clashes:
        with pytest.raises(Refusal):
            posted.nested()
        return
    tree = posted.nested()
    for name, value in texts.items():
        found: object = tree
        for step in name.split("."):
            assert isinstance(found, dict)
            found = found[step]
        assert found == value


def test_an_error_names_the_field_and_never_what_was_sent() -> None:
    with pytest.raises(Refusal) as caught:
        read("session", models.Certificate, {"type": "02", "number": "se cret"}, within="claim.")
    problem = caught.value.problem
    assert [error["field"] for error in problem.facts["errors"]] == ["claim.number"]
    assert "se cret" not in str(problem)


def test_one_step_is_open_and_the_path_never_hides_any(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str], app: FastAPI, store: NodeStore
) -> None:
    session = opened.url.rsplit("/", 1)[1]
    parts = app.state.parts

    def marks(wanted: str | None = None) -> list[str]:
        return [s.mark for s in path_of(parts.view(parts.service.state_of(session)), wanted)]

    assert marks() == ["done", "now", "later", "later", "later"]
    assert marks("prescription") == ["done", "later", "now", "later", "later"]
    assert marks("settlement") == ["done", "now", "later", "later", "later"]
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    assert marks() == ["done", "done", "later", "now", "later"]
    page = visitor.send(page.form("/basket"), LINE)
    assert marks() == ["done", "done", "skipped", "done", "now"]
    assert marks("basket") == ["done", "done", "skipped", "now", "later"]
    visitor.send(chosen(visitor, visitor.get(opened.url), "self").form("/close"))
    assert marks("basket") == ["done", "done", "skipped", "done", "later"]
