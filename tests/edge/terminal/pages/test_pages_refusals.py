"""What the counter's pages are sent wrongly: words and what to do now, and nothing happens."""

from __future__ import annotations

import json
import re
import ssl
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from edge.session.service import SessionService
from edge.terminal import pairing, pharmacists, security
from edge.terminal.tls import ensure_certificate
from edge.verifier.protocol import EnrolmentRefused
from retention.store.database import NodeStore, StoreUnavailable
from tests.edge.counter_kit import FakeVerifier, Said
from tests.edge.terminal.pages.conftest import NAME, NUMBER, Visiting, open_session
from tests.edge.terminal.pages.test_pages_flow import LINE, agree, attest, chosen
from tests.edge.terminal.pages.visitor import Form, Page, Visitor
from tests.serving import served

HTML = {"accept": "text/html"}
OURS = {"sec-fetch-site": "same-origin"}


def sessions(store: NodeStore) -> int:
    with store.read() as connection:
        return int(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])


def in_words(page: Page, status: int, *said: str) -> None:
    assert page.status == status
    assert "Traceback" not in page.html
    for words in said:
        assert words in page.text, page.text


# -- who asks -------------------------------------------------------------------------------------


def test_a_browser_that_is_not_paired_sees_the_pairing_form_and_nothing_else(
    visiting: Visiting,
) -> None:
    visitor = visiting(counter=None)
    assert "pairing" in visitor.get("/").marks
    for path in ("/counter/pair", "/counter/leave", "/counter/condition"):
        in_words(visitor.get(path), 401, "未配对", "去配对")


def test_the_cookie_is_for_the_server_alone_and_secure_on_the_lan(
    app: FastAPI, url: str, store: NodeStore, tmp_path: Path
) -> None:
    def paired(address: str, verify: ssl.SSLContext | bool) -> str:
        code = pairing.new_code(store, "counter-1", store.clock)
        with httpx.Client(base_url=address, verify=verify, trust_env=False, timeout=30) as client:
            answer = client.post("/counter/pairing", data={"code": code, "name": "x"}, headers=OURS)
        assert answer.status_code == 303
        return answer.headers["set-cookie"]

    plain = paired(url, True)
    for mark in ("terminal=", "HttpOnly", "SameSite=strict", "Path=/"):
        assert mark in plain
    assert "Secure" not in plain  # loopback, where there is no TLS
    made = ensure_certificate(tmp_path / "tls", "127.0.0.1")
    context = ssl.create_default_context(cafile=str(made.certificate))
    with served(app, ssl_certfile=str(made.certificate), ssl_keyfile=str(made.key)) as address:
        assert "Secure" in paired(address, context)


def test_a_wrong_code_is_refused_in_words_and_counts(visiting: Visiting) -> None:
    visitor = visiting(counter=None)
    form = visitor.get("/").form("/counter/pairing")
    in_words(visitor.send(form, {"code": "00000000"}), 403, "配对码无效", "请重新生成配对码")
    in_words(visitor.send(form, {"code": "12"}), 422, "配对码：八位数字")


def test_the_pages_take_no_bearer_token_and_the_api_takes_no_cookie(
    visitor: Visitor, url: str
) -> None:
    token = visitor.http.cookies["terminal"]
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        bearer = {"authorization": f"Bearer {token}"}
        assert client.get("/v1/sessions", headers=bearer).status_code == 200
        assert client.get("/counter/leave", headers=bearer | HTML).status_code == 401
        cookie = {"cookie": f"terminal={token}"}
        assert client.get("/v1/sessions", headers=cookie).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"sec-fetch-site": "cross-site", "origin": "ours"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
        ({"origin": "ours"}, 303),
        ({"sec-fetch-site": "same-origin"}, 303),
    ],
)
def test_a_form_of_another_page_is_refused(
    visitor: Visitor, url: str, store: NodeStore, headers: dict[str, str], status: int
) -> None:
    form = visitor.get("/").form("/counter/sessions")
    values = form.values | {
        "claim.certificate.number": NUMBER, "claim.name": NAME, "operator": "op-7",
    }  # fmt: skip
    sent = {name: url if value == "ours" else value for name, value in headers.items()}
    cookie = {"cookie": f"terminal={visitor.http.cookies['terminal']}"}
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        answer = client.post(form.action, data=values, headers=sent | cookie | HTML)
    assert answer.status_code == status
    if status == 403:
        assert "请求不是从本机的页面发出的" in answer.text
    assert sessions(store) == (status == 303)


def test_a_revoked_terminal_is_told_in_the_middle_of_a_form_and_nothing_is_done(
    visitor: Visitor, store: NodeStore, opened: Page
) -> None:
    form = visitor.get("/").form("/counter/sessions")
    with store.read() as connection:
        terminal = connection.execute("SELECT id FROM terminals").fetchone()["id"]
    pairing.revoke(store, terminal, "test")
    values = {"claim.certificate.number": NUMBER, "claim.name": NAME, "operator": "op-7"}
    part = visitor.send(form, values, htmx=True)
    in_words(part, 401, "配对已被撤销", "没有执行", "去配对")
    assert part.headers["hx-retarget"] == "#problem"
    assert sessions(store) == 1
    page = visitor.get("/")
    assert "原来的配对已失效" in page.text
    assert "pairing" in page.marks


def test_nothing_is_kept_of_what_a_browser_without_a_pairing_sends(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def keeping(*_: object) -> None:
        raise AssertionError("the body of a stranger was about to be kept")

    monkeypatch.setattr(security, "_received", keeping)
    with httpx.Client(base_url=url, trust_env=False, headers=HTML | OURS, timeout=30) as client:
        for path in ("/counter/sessions/x/reference", "/counter/sessions", "/counter/leave"):
            answer = client.post(path, content=b"x" * 3_000_000)
            assert answer.status_code == 401
            assert "未配对" in answer.text


def test_leaving_revokes_the_terminal_and_forgets_the_cookie(visitor: Visitor) -> None:
    token = visitor.http.cookies["terminal"]
    page = visitor.send(visitor.get("/counter/leave").form("/counter/leave"))
    assert "pairing" in page.marks
    assert "terminal" not in visitor.http.cookies
    visitor.http.cookies.set("terminal", token)
    assert visitor.get("/counter/leave").status == 401


def test_another_terminal_is_let_in_by_a_pharmacist_only(
    visitor: Visitor, visiting: Visiting, pharmacist: tuple[str, str]
) -> None:
    form = visitor.get("/counter/pair").form("/counter/pair")
    wrong = visitor.send(form, {"pharmacist": "ph-3", "secret": "wrong one"})
    in_words(wrong, 403, "药师凭证无效")
    assert "pairing-code" not in wrong.marks
    right = {"pharmacist": pharmacist[0], "secret": pharmacist[1]}
    in_words(visitor.send(form, right | {"counter": "柜台"}), 422, "柜台编号")
    page = visitor.send(form, right | {"counter": "counter-2"})
    assert "<svg" in page.html
    link = next(text for text in page.texts if "?code=" in text)
    other = visiting(counter=None)
    prefilled = other.get(f"/?code={link.rsplit('=', 1)[1]}").form("/counter/pairing")
    assert "counter-2" in other.send(prefilled).text


# -- what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("htmx", [True, False])
def test_a_form_of_two_megabytes_is_refused_in_words(
    visitor: Visitor, store: NodeStore, htmx: bool
) -> None:
    form = visitor.get("/").form("/counter/sessions")
    page = visitor.send(form, {"claim.name": "x" * 2_000_000}, htmx=htmx)
    in_words(page, 413, "请求内容过大", "65.5 kB")
    assert sessions(store) == 0


def test_a_picture_that_is_too_large_is_refused_and_one_below_never_reaches_the_disk(
    visitor: Visitor, opened: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_disk(*_: object) -> None:
        raise AssertionError("a picture was about to be written to the disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", to_disk)
    page = visitor.send(opened.form("/consent"))
    too_large = visitor.send(page.form("/reference"), files={"picture": b"x" * 12_000_000})
    in_words(too_large, 413, "请求内容过大", "较小的照片")
    page = visitor.send(page.form("/reference"), files={"picture": b"x" * 3_000_000})
    assert "face" in page.marks


def test_no_picture_and_an_unusable_picture_are_told_apart(
    visitor: Visitor, opened: Page, verifier: FakeVerifier
) -> None:
    page = visitor.send(opened.form("/consent"))
    in_words(visitor.send(page.form("/reference"), files={"picture": b""}), 422, "证件照片")
    verifier.refusal = EnrolmentRefused(code="NO_FACE", detail="none")
    answer = visitor.send(page.form("/reference"), files={"picture": b"x"})
    in_words(answer, 422, "照片不合格", "画面中没有人脸")


@pytest.mark.parametrize(
    "body",
    [
        b"%ff%fe=1",
        b"operator=a&operator=b",
        b"claim=1&claim.name=2",
        b"&".join(b"f%d=1" % n for n in range(700)),
    ],
)
def test_what_no_page_sends_is_refused(visitor: Visitor, body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = visitor.http.post("/counter/sessions", content=body, headers=headers)
    assert answer.status_code == 400
    assert "请求内容有误" in answer.text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense"),
        ("application/json", b'{"operator": "op"}'),
        ("text/plain", b"\x00\xff"),
    ],
)
def test_a_body_that_is_no_form_is_refused(visitor: Visitor, kind: str, body: bytes) -> None:
    answer = visitor.http.post("/counter/sessions", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 422)
    assert "请求内容有误" in answer.text


def test_each_field_at_fault_is_named_with_what_may_be_entered(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str]
) -> None:
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    wrong = LINE | {"lines.0.quantity": "0", "lines.4.name": "x", "lines.4.quantity": "1"}
    part = visitor.send(page.form("/basket"), wrong, htmx=True)
    in_words(part, 422, "第 1 行 数量：大于 0", "第 5 行 单价", "第 5 行 医保目录编码")
    empty = dict.fromkeys(LINE, "")
    in_words(visitor.send(page.form("/basket"), empty, htmx=True), 422, "药品：1 至 60 行")


def test_a_fault_is_named_at_its_own_row_and_a_row_without_an_entry_is_none(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str]
) -> None:
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    form = page.form("/basket")
    row = {name.replace(".0.", ".1."): value for name, value in LINE.items()}
    blank = {"lines.0.quantity": "1", "lines.2.quantity": "1"}
    bad = visitor.send(form, blank | row | {"lines.1.trace_codes": "81 !a !b"}, htmx=True)
    assert re.findall(r'data-field="([^"]*)"', bad.html) == ["lines.1.trace_codes"]
    in_words(bad, 422, "第 2 行 追溯码：", "只含字母、数字")
    assert "药品 1 种" in visitor.send(form, blank | row).text


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "9999-01-01", "2030-13-01", "x"])
def test_a_day_that_no_record_can_hold_is_refused_in_words(
    visitor: Visitor, opened: Page, day: str
) -> None:
    form = visitor.get(f"{opened.url}?step=prescription").form("/prescription")
    terms = {"rx_no": "RX1", "prescriber": "D1", "valid_until": day}
    in_words(visitor.send(form, terms, htmx=True), 422, "有效期至（当天有效）：年-月-日")


def test_a_secret_is_taken_as_it_was_typed(
    visitor: Visitor, opened: Page, store: NodeStore
) -> None:
    pharmacists.add(store, "ph-4", "  a secret ")
    page = chosen(visitor, opened, "document")
    assert attest(visitor, page, ("ph-4", "a secret")).status == 403
    assert "basket" in attest(visitor, page, ("ph-4", "  a secret ")).marks


def test_html_in_a_medicine_is_text(
    visitor: Visitor, opened: Page, pharmacist: tuple[str, str]
) -> None:
    page = attest(visitor, chosen(visitor, opened, "document"), pharmacist)
    evil = '"><script>alert(1)</script><img src=x>'
    page = visitor.send(page.form("/basket"), LINE | {"lines.0.name": evil})
    assert evil in "".join(page.texts)
    assert "<script>alert" not in page.html
    again = visitor.get(next(link for link in page.links if link.endswith("step=basket")))
    assert again.form("/basket").values["lines.0.name"] == evil


# -- twice, late, elsewhere -----------------------------------------------------------------------


def test_a_double_click_opens_one_session(visitor: Visitor, url: str, store: NodeStore) -> None:
    form = visitor.get("/").form("/counter/sessions")
    values = form.values | {
        "claim.certificate.number": NUMBER, "claim.name": NAME, "operator": "op-7",
    }  # fmt: skip
    cookie = {"cookie": f"terminal={visitor.http.cookies['terminal']}"}

    def press(_: int) -> str:
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            return client.post(form.action, data=values, headers=OURS | cookie).headers["location"]

    with ThreadPoolExecutor(4) as pool:
        led_to = set(pool.map(press, range(4)))
    assert len(led_to) == 1
    assert sessions(store) == 1


def test_a_form_that_was_changed_after_going_back_is_another_deed(
    visitor: Visitor, store: NodeStore
) -> None:
    form = visitor.get("/").form("/counter/sessions")
    values = {"claim.certificate.number": NUMBER, "claim.name": NAME, "operator": "op-7"}
    first = visitor.send(form, values)
    other = {"claim.certificate.number": "44052418800101001X", "claim.name": "王大明"}
    second = visitor.send(form, values | other)
    assert "王*明" in second.text
    assert visitor.send(form, values).url == first.url
    assert sessions(store) == 2


def test_a_form_without_its_number_is_refused_and_not_taken_for_an_earlier_one(
    visitor: Visitor, store: NodeStore
) -> None:
    form = visitor.get("/").form("/counter/sessions")
    values = {"claim.certificate.number": NUMBER, "claim.name": NAME, "operator": "op-7"}
    for _ in range(2):
        in_words(visitor.send(form, values | {"once": ""}), 400, "请求内容有误")
    assert sessions(store) == 0


def test_a_double_click_on_the_face_is_one_attempt(
    visitor: Visitor, opened: Page, verifier: FakeVerifier
) -> None:
    form = agree(visitor, opened).form("/verification")
    verifier.hold = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(visitor.send, form)
        assert verifier.entered.wait(30)
        second = pool.submit(visitor.send, form)
        verifier.hold.set()
        assert first.result().status == second.result().status == 200
    assert len(verifier.requests) == 1


def test_a_camera_that_looks_at_somebody_else_is_said_to_be_busy(
    visitor: Visitor, opened: Page, verifier: FakeVerifier
) -> None:
    page = agree(visitor, opened)
    other = open_session(visitor)
    verifier.hold = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(visitor.send, page.form("/verification"))
        assert verifier.entered.wait(30)
        part = visitor.send(other.form("/verification"), htmx=True)
        verifier.hold.set()
        assert first.result().status == 200
    in_words(part, 409, "摄像头正在核验另一位顾客", "请稍候再试")


def test_a_face_check_that_is_down_leads_to_another_way(
    visitor: Visitor, opened: Page, verifier: FakeVerifier
) -> None:
    page = agree(visitor, opened)
    verifier.available = False
    part = visitor.send(page.form("/verification"), htmx=True)
    in_words(part, 503, "人脸核验暂不可用", "请换一种方式核验")
    assert "attest" in visitor.get(page.url).marks


def test_a_form_left_open_in_another_tab_is_answered_in_words(
    visitor: Visitor, opened: Page
) -> None:
    stale = opened.form("/consent")
    page = chosen(visitor, opened, "self")
    leaving = page.form("/close")
    assert "closed" in visitor.send(leaving).marks
    assert "closed" in visitor.send(leaving).marks  # again: where it led before
    in_words(visitor.send(stale, htmx=True), 409, "业务已关闭", "请新开业务")
    other = Form(leaving.action, "post", set(), {"outcome": "abandoned"})
    assert "自费" in visitor.send(other).text  # the first word stands


def test_a_session_of_another_counter_or_none_is_unknown_in_words(
    visitor: Visitor, visiting: Visiting, opened: Page
) -> None:
    other = visiting("counter-2")
    for path in (
        opened.url,
        "/counter/sessions/0197b2c0-5f3a-7c11-9a51-2f6d5a3b9c01",
    ):
        in_words(other.get(path), 404, "没有这笔业务", "返回首页")
    stolen = other.send(opened.form("/consent"), htmx=True)
    in_words(stolen, 404, "没有这笔业务")
    in_words(visitor.get("/counter/sessions/7"), 404, "没有这一地址")
    part = visitor.http.get("/counter/sessions/7/waiting", headers={"hx-request": "true"})
    in_words(Page(part), 404, "没有这一地址")


def test_unknown_addresses_and_methods_are_answered_in_words_and_in_json_to_programs(
    visitor: Visitor, url: str
) -> None:
    in_words(visitor.get("/nowhere"), 404, "没有这一地址", "返回首页")
    in_words(visitor.get("/counter/nowhere"), 404, "没有这一地址")
    assert visitor.http.delete("/counter/leave").status_code == 405
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        assert client.get("/nowhere").json()["code"] == "NOT_FOUND"
        assert client.get("/v1/nowhere", headers=HTML).json()["code"] == "UNAUTHENTICATED"


def test_a_disk_or_a_program_that_fails_is_told_without_its_insides(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    def gone(*_: object) -> None:
        raise StoreUnavailable("disk")

    def broken(*_: object) -> None:
        raise RuntimeError(f"secret {NUMBER}")

    monkeypatch.setattr(SessionService, "recent", gone)
    in_words(visitor.get("/"), 503, "存储暂不可用")
    monkeypatch.setattr(SessionService, "recent", broken)
    page = visitor.get("/")
    in_words(page, 500, "系统内部出错", "返回首页")
    assert NUMBER not in page.html + json.dumps(said)


# -- what nobody may read -------------------------------------------------------------------------


@pytest.fixture
def seen(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every page that the visitor was shown."""
    pages: list[str] = []
    inner = visitor.http.send

    def noted(*arguments: object, **named: object) -> httpx.Response:
        answer = inner(*arguments, **named)  # type: ignore[arg-type]
        pages.append(answer.text + str(answer.headers))
        return answer

    monkeypatch.setattr(visitor.http, "send", noted)
    return pages


def test_no_page_and_no_log_line_holds_a_number_a_full_name_or_a_secret(
    visitor: Visitor, seen: list[str], said: Said, pharmacist: tuple[str, str]
) -> None:
    page = chosen(visitor, open_session(visitor), "proxy")
    values = {
        "certificate.number": "430102199003077000", "name": "李小梅", "relation": "daughter",
        "reason": "卧床",
    }  # fmt: skip
    page = visitor.send(page.form("/proxy"), values | {"reason": ""}, files={"both": b"s"})
    page = visitor.get(f"{page.url.rsplit('/', 1)[0]}?way=proxy")
    page = visitor.send(page.form("/proxy"), values, files={"both": b"s"})
    page = attest(visitor, chosen(visitor, page, "document"), pharmacist)
    visitor.send(page.form("/basket"), LINE)
    visitor.get("/")
    assert len(seen) > 8
    everything = "".join(seen) + json.dumps(said, ensure_ascii=False, default=str)
    for secret in (NUMBER, NAME, "430102199003077000", "李小梅", pharmacist[1]):
        assert secret not in everything
