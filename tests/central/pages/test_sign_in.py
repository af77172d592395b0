"""Signing in and out: who gets in, for how long, and what a stranger learns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Literal

import httpx
import pytest
from argon2 import PasswordHasher

from central import passwords, sign_ins
from central.accounts import ACCOUNTS, SIGN_INS
from retention.terms.problems import Refusal
from tests.central.pages.conftest import PASSWORD, TOKEN, Pages, csrf, sign_in

WRONG = "not the password"
FIRST = {"token": TOKEN, "name": "Chen", "password": PASSWORD, "again": PASSWORD}


def code(answer: httpx.Response) -> str:
    """Return the reason that a page shows."""
    _, _, rest = answer.text.partition('data-code="')
    return rest.partition('"')[0]


def test_password_opens_and_sign_out_closes(pages: Pages) -> None:
    browser = pages.signed_in("li")
    assert browser.get("/").headers["location"] == "/sessions"
    token = browser.cookies["sign_in"]
    out = browser.post("/sign-out", data={"csrf": csrf(browser)})
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert "sign_in" not in browser.cookies
    browser.cookies.set("sign_in", token)
    assert browser.get("/password").headers["location"].startswith("/sign-in")
    assert pages.rows("account.sign_in") == [("li", "account li")]
    assert pages.rows("account.sign_out") == [("li", "account li")]


def test_admin_begins_with_the_nodes(pages: Pages) -> None:
    assert pages.signed_in("chen", "admin").get("/").headers["location"] == "/nodes"


def test_cookie_is_for_us_alone(pages: Pages) -> None:
    pages.account("li", "inspector")
    cookie = sign_in(pages.browser(), "li").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Max-Age" not in cookie
    assert "Secure" not in cookie


def test_cookie_insists_on_tls_where_browsers_come_over_tls(pages_behind_tls: Pages) -> None:
    pages_behind_tls.account("li", "inspector")
    assert "Secure" in sign_in(pages_behind_tls.browser(), "li").headers["set-cookie"]


def test_only_the_digest_of_the_cookie_is_kept(pages: Pages) -> None:
    token = pages.signed_in("li").cookies["sign_in"]
    with pages.central.database.read() as connection:
        (row,) = connection.execute(SIGN_INS.select())
    assert token not in str(row)
    assert row.token_sha256 == sign_ins.digest(token)


@pytest.mark.parametrize("name", ["li", "nobody"])
def test_wrong_and_unknown_are_told_alike(pages: Pages, name: str) -> None:
    pages.account("li", "inspector")
    answer = sign_in(pages.browser(), name, WRONG)
    assert (answer.status_code, code(answer)) == (403, "SIGN_IN_REFUSED")
    assert "set-cookie" not in answer.headers
    assert WRONG not in answer.text
    assert f'value="{name}"' in answer.text


@pytest.mark.parametrize("state", ["right", "wrong", "unknown", "disabled", "locked"])
def test_every_try_costs_one_check(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    pages.account("li", "inspector")
    change = {"disabled": {"disabled_at": 1}, "locked": {"locked_until": pages.state.now() + 1}}
    if state in change:
        with pages.central.database.write() as connection:
            connection.execute(ACCOUNTS.update().values(**change[state]))
    checked = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
            checked.append(hash)
            return super().verify(hash, password)

    passwords._nobody()
    monkeypatch.setattr(passwords, "HASHER", Counting(1, 8, 1))
    name, password = ("nobody" if state == "unknown" else "li"), WRONG
    answer = sign_in(pages.browser(), name, password if state == "wrong" else PASSWORD)
    assert answer.status_code == (303 if state == "right" else 403)
    assert len(checked) == 1


def test_five_failures_lock_for_a_quarter_of_an_hour(pages: Pages) -> None:
    pages.account("li", "inspector")
    browser = pages.browser()
    for _ in range(5):
        assert sign_in(browser, "li", WRONG).status_code == 403
    assert code(sign_in(browser, "li")) == "SIGN_IN_REFUSED"
    pages.clock.advance(timedelta(minutes=14, seconds=59))
    assert sign_in(browser, "li").status_code == 403
    assert pages.rows("account.locked") == [("li", "account li")]
    pages.clock.advance(timedelta(seconds=1))
    assert sign_in(browser, "li").status_code == 303


def test_count_begins_anew_after_a_lock(pages: Pages) -> None:
    pages.account("li", "inspector")
    for _ in range(5):
        sign_in(pages.browser(), "li", WRONG)
    pages.clock.advance(timedelta(minutes=15))
    assert sign_in(pages.browser(), "li", WRONG).status_code == 403
    assert sign_in(pages.browser(), "li").status_code == 303


def test_only_failures_in_a_row_count(pages: Pages) -> None:
    pages.account("li", "inspector")
    for _ in range(2):
        for _ in range(4):
            assert sign_in(pages.browser(), "li", WRONG).status_code == 403
        assert sign_in(pages.browser(), "li").status_code == 303


def test_name_may_be_typed_in_capitals(pages: Pages) -> None:
    pages.account("li.wei", "inspector")
    assert sign_in(pages.browser(), " Li.Wei ").status_code == 303


def test_failures_at_the_same_moment_do_not_pass_the_limit(pages_on_disk: Pages) -> None:
    pages_on_disk.account("li", "inspector")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: sign_in(pages_on_disk.browser(), "li", WRONG), range(8)))
    assert sign_in(pages_on_disk.browser(), "li").status_code == 403


def test_sign_in_ends_after_twelve_hours(pages: Pages) -> None:
    browser = pages.signed_in("li")
    for minutes in [59] * 12 + [11]:
        pages.clock.advance(timedelta(minutes=minutes))
        assert browser.get("/password").status_code == 200
    pages.clock.advance(timedelta(minutes=1))
    assert browser.get("/password").headers["location"] == "/sign-in?next=%2Fpassword&expired=1"


def test_sign_in_ends_when_nothing_is_asked_for_an_hour(pages: Pages) -> None:
    browser = pages.signed_in("li")
    pages.clock.advance(timedelta(minutes=60))
    assert "expired=1" in browser.get("/password").headers["location"]
    shown = browser.get("/sign-in?expired=1").text
    assert "登录已过期" in shown


def test_page_that_polls_does_not_keep_a_sign_in_alive(pages: Pages) -> None:
    browser = pages.signed_in("li")
    for _ in range(6):
        pages.clock.advance(timedelta(minutes=10))
        answer = browser.get("/password", headers={"HX-Request": "true"})
    assert answer.status_code == 401


def test_every_sign_in_has_a_new_token(pages: Pages) -> None:
    pages.account("li", "inspector")
    planted = {"Cookie": "sign_in=planted-by-somebody-else"}
    form = {"name": "li", "password": PASSWORD}
    browser = pages.browser()
    assert browser.post("/sign-in", data=form, headers=planted).status_code == 303
    first = browser.cookies["sign_in"]
    assert first != "planted-by-somebody-else"
    assert browser.post("/sign-in", data=form).status_code == 303
    assert browser.cookies["sign_in"] != first
    old = {"Cookie": f"sign_in={first}"}
    assert pages.browser().get("/password", headers=old).status_code == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_sign_in_leads_to_nowhere_else(pages: Pages, target: str) -> None:
    pages.account("li", "inspector")
    browser = pages.browser()
    asked = browser.get("/sign-in", params={"next": target}).text
    assert '<input type="hidden" name="next" value="/">' in asked
    assert sign_in(browser, "li", next=target).headers["location"] == "/"
    assert browser.get("/sign-in", params={"next": target}).headers["location"] == "/"


def test_sign_in_leads_back(pages: Pages) -> None:
    pages.account("li", "inspector")
    browser = pages.browser()
    where = browser.get("/password?a=1&b=%E8%8D%AF").headers["location"]
    assert where == "/sign-in?next=%2Fpassword%3Fa%3D1%26b%3D%25E8%258D%25AF"
    assert 'value="/password?a=1&amp;b=%E8%8D%AF"' in browser.get(where).text


@pytest.mark.parametrize(
    ("headers", "status", "header"),
    [
        ({"Accept": "text/html"}, 303, "location"),
        ({"HX-Request": "true", "HX-Current-URL": "http://x/nodes?q=1"}, 401, "hx-redirect"),
        ({"Accept": "application/json"}, 401, "www-authenticate"),
    ],
)
def test_whoever_is_signed_out_is_told_in_their_way(
    pages: Pages, headers: dict[str, str], status: int, header: str
) -> None:
    pages.account("li", "inspector")
    answer = pages.browser().get("/password", headers=headers)
    assert answer.status_code == status
    assert header in answer.headers
    if header == "hx-redirect":
        assert answer.headers[header] == "/sign-in?next=%2Fnodes%3Fq%3D1"
    if header == "www-authenticate":
        assert answer.json()["code"] == "UNAUTHENTICATED"


def test_form_sent_too_late_is_not_lost_silently(pages: Pages) -> None:
    browser = pages.signed_in("li")
    form = {"csrf": csrf(browser), "present": PASSWORD}
    pages.clock.advance(timedelta(hours=2))
    answer = browser.post("/password", data=form)
    assert answer.headers["location"] == "/sign-in?next=%2Fpassword&expired=1&unsaved=1"
    assert "没有保存" in browser.get(answer.headers["location"]).text
    assert PASSWORD not in answer.text
    later = browser.post("/accounts/role", data=form).headers["location"]
    assert later == "/sign-in?expired=1&unsaved=1"


@pytest.mark.parametrize("given", [None, "", "0" * 64, "héllo"])
def test_form_without_our_token_does_nothing(pages: Pages, given: str | None) -> None:
    browser = pages.signed_in("li")
    answer = browser.post("/sign-out", data={} if given is None else {"csrf": given})
    assert answer.status_code == 403
    assert "FORM_STALE" in answer.text
    assert browser.get("/password").status_code == 200


def test_token_of_another_sign_in_does_nothing(pages: Pages) -> None:
    browser, other = pages.signed_in("li"), pages.signed_in("wang")
    assert browser.post("/sign-out", data={"csrf": csrf(other)}).status_code == 403


def test_every_page_carries_a_token_of_its_own(pages: Pages) -> None:
    browser = pages.signed_in("li")
    first, second = csrf(browser), csrf(browser)
    mixed = first[:32] + second[32:]
    assert len({first[:32], second[:32]}) == len({first[32:], second[32:]}) == 2
    assert browser.post("/sign-out", data={"csrf": mixed}).status_code == 403
    assert browser.post("/sign-out", data={"csrf": first}).status_code == 303


def test_token_may_come_as_a_header(pages: Pages) -> None:
    browser = pages.signed_in("li")
    assert browser.post("/sign-out", headers={"X-CSRF": csrf(browser)}).status_code == 303


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "null"}, False),
        ({}, True),
    ],
)
def test_another_site_cannot_send_our_forms(
    pages: Pages, headers: dict[str, str], ours: bool
) -> None:
    browser = pages.signed_in("chen", "admin")
    form = {"csrf": csrf(browser), "name": "li", "password": PASSWORD}
    for path in ("/sign-in", "/password", "/first", "/accounts", "/sign-out"):
        answer = browser.post(path, data=form, headers=headers)
        assert ("FORM_ELSEWHERE" in answer.text) is not ours, path
        assert ours or answer.status_code == 403, path


def test_our_own_origin_is_ours(pages: Pages) -> None:
    browser = pages.signed_in("li")
    answer = browser.post("/sign-out", data={"csrf": csrf(browser)}, headers={"Origin": pages.url})
    assert answer.status_code == 303


def test_password_is_kept_with_todays_parameters(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages.account("li", "inspector")
    dearer = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "HASHER", dearer)
    for _ in range(2):
        assert sign_in(pages.browser(), "li").status_code == 303
        with pages.central.database.read() as connection:
            (stored,) = connection.execute(ACCOUNTS.select())
        assert not passwords.outdated(stored.password_hash)


def test_crowd_at_the_door_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(passwords.QUEUE):
        assert passwords._WAITING.acquire(blocking=False)
    try:
        with pytest.raises(Refusal) as refused:
            passwords.matches(None, "x")
    finally:
        passwords._WAITING.release(passwords.QUEUE)
    assert (refused.value.problem.status, refused.value.problem.code) == (503, "UNAVAILABLE")
    assert passwords.matches(None, "x") is False


def test_parameters_are_those_that_were_measured() -> None:
    found = PasswordHasher.from_parameters(passwords.MEASURED)
    assert (found.time_cost, found.memory_cost, found.parallelism) == (3, 32 * 1024, 1)
    assert found.type.name == "ID"


def test_api_takes_no_cookie_and_pages_take_no_token(pages: Pages) -> None:
    browser = pages.signed_in("chen", "admin")
    assert browser.get("/v1/nodes").status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert pages.browser().get("/v1/nodes", headers=bearer).status_code == 200
    assert pages.browser().get("/accounts", headers=bearer).status_code == 303


def test_first_start_asks_for_the_administrators_token(pages: Pages) -> None:
    browser = pages.browser()
    assert browser.get("/").headers["location"] == "/first"
    assert browser.get("/sign-in").headers["location"] == "/first"
    assert "admin.token" in browser.get("/first").text
    wrong = browser.post("/first", data={**FIRST, "token": "guessed"})
    assert (wrong.status_code, code(wrong)) == (403, "ADMIN_TOKEN_REFUSED")
    made = browser.post("/first", data=FIRST)
    assert (made.status_code, made.headers["location"]) == (303, "/")
    assert browser.get("/").headers["location"] == "/nodes"
    assert pages.rows("account.add") == [("admin token", "account chen (admin)")]


def test_there_is_one_first_account(pages: Pages) -> None:
    pages.browser().post("/first", data=FIRST)
    other = pages.browser()
    assert other.get("/first").status_code == 404
    assert other.post("/first", data={**FIRST, "name": "wang"}).status_code == 404


def test_of_two_first_accounts_one_is_made(pages_on_disk: Pages) -> None:
    def make(name: str) -> int:
        return pages_on_disk.browser().post("/first", data={**FIRST, "name": name}).status_code

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(make, ["aa", "bb", "cc", "dd"]))
    assert sorted(found) == [303, 404, 404, 404]


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("too short", "PASSWORD_SHORT"),
        ("x" * 5 + "y" * 124, "PASSWORD_LONG"),
        ("password123", "PASSWORD_COMMON"),
        ("PassWord123", "PASSWORD_COMMON"),
        ("88888888888", "PASSWORD_COMMON"),
        ("A.Long.Name", "PASSWORD_COMMON"),
    ],
)
def test_password_that_anybody_guesses_is_refused(pages: Pages, password: str, reason: str) -> None:
    form = {**FIRST, "name": "a.long.name", "password": password, "again": password}
    answer = pages.browser().post("/first", data=form)
    assert (answer.status_code, code(answer)) == (422, reason)
    assert password not in answer.text


@pytest.mark.parametrize("password", ["药房里的 十个字 够了", "all lower case", "9" * 9 + "8"])
def test_password_of_any_letters_is_taken(pages: Pages, password: str) -> None:
    form = {**FIRST, "password": password, "again": password}
    assert pages.browser().post("/first", data=form).status_code == 303
    assert sign_in(pages.browser(), "chen", password).status_code == 303


def test_password_is_the_same_from_every_keyboard(pages: Pages) -> None:
    form = {**FIRST, "password": "cafe\u0301 cafe\u0301 42", "again": "cafe\u0301 cafe\u0301 42"}
    assert pages.browser().post("/first", data=form).status_code == 303
    assert sign_in(pages.browser(), "chen", "caf\u00e9 caf\u00e9 42").status_code == 303


@pytest.mark.parametrize("name", ["a", "x" * 33, "li wei", "李伟", "<b>x</b>", "li\n", "admin/1"])
def test_name_that_is_none_is_refused_and_escaped(pages: Pages, name: str) -> None:
    answer = pages.browser().post("/first", data={**FIRST, "name": name})
    if name == "li\n":
        assert answer.status_code == 303
        return
    assert (answer.status_code, code(answer)) == (422, "NAME_REFUSED")
    assert "<b>x" not in answer.text


def test_own_password_is_changed_and_other_browsers_are_signed_out(pages: Pages) -> None:
    browser = pages.signed_in("li")
    elsewhere = pages.browser()
    sign_in(elsewhere, "li")
    form = {"csrf": csrf(browser), "present": PASSWORD, "password": WRONG, "again": WRONG}
    answer = browser.post("/password", data=form)
    assert answer.headers["location"] == "/password?saved=1"
    assert "密码已修改" in browser.get("/password?saved=1").text
    assert elsewhere.get("/password").status_code == 303
    assert sign_in(pages.browser(), "li").status_code == 403
    assert sign_in(pages.browser(), "li", WRONG).status_code == 303
    assert pages.rows("account.password") == [("li", "account li")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"present": WRONG}, "PASSWORD_WRONG"),
        ({"again": "something else"}, "PASSWORD_TWICE"),
        ({"password": PASSWORD, "again": PASSWORD}, "PASSWORD_SAME"),
    ],
)
def test_password_is_not_changed_by_mistake(
    pages: Pages, change: dict[str, str], reason: str
) -> None:
    browser = pages.signed_in("li")
    form = {"csrf": csrf(browser), "present": PASSWORD, "password": WRONG, "again": WRONG}
    assert code(browser.post("/password", data={**form, **change})) == reason
    assert sign_in(pages.browser(), "li").status_code == 303


def test_present_password_cannot_be_guessed_in_a_stolen_browser(pages: Pages) -> None:
    browser = pages.signed_in("li")
    form = {"csrf": csrf(browser), "present": WRONG, "password": "x" * 9 + "y", "again": "x"}
    for _ in range(5):
        assert browser.post("/password", data=form).status_code == 403
    assert code(browser.post("/password", data={**form, "present": PASSWORD})) == "PASSWORD_WRONG"


def test_given_password_opens_nothing_but_its_change(pages: Pages) -> None:
    pages.account("li", "inspector", must_change=True)
    browser = pages.browser()
    sign_in(browser, "li")
    assert browser.get("/").headers["location"] == "/password"
    assert browser.get("/accounts").headers["location"] == "/password"
    asked = browser.get("/accounts", headers={"Accept": "*/*"})
    assert (asked.status_code, asked.json()["code"]) == (403, "PASSWORD_CHANGE_NEEDED")
    form = {"csrf": csrf(browser), "present": PASSWORD, "password": WRONG, "again": WRONG}
    assert browser.post("/password", data=form).headers["location"] == "/"
    assert browser.get("/").headers["location"] == "/sessions"


def test_form_that_is_too_large_is_refused_in_words(pages: Pages) -> None:
    pages.account("li", "inspector")
    answer = sign_in(pages.browser(), "li", "x" * 2_000_000)
    assert answer.status_code == 413
    assert "请求内容过大" in answer.text
    assert "<h1>" in answer.text


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/nothing", 404, ("没有这一地址", "No such address")),
        ("DELETE", "/sign-in", 405, ("不接受这种请求", "does not take")),
        ("GET", "/language/fr", 422, ("请求内容有误", "not valid")),
    ],
)
def test_every_refusal_is_a_page_for_a_person(
    pages: Pages, lang: str, method: str, path: str, status: int, says: tuple[str, str]
) -> None:
    answer = pages.browser().request(method, path, headers={"Cookie": f"lang={lang}"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert says[lang == "en"] in answer.text
    assert "Not Found" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/nodes", 403), ("GET", "/sessions/x", 404),
     ("GET", "/sessions?q=" + 201 * "x", 422), ("POST", "/sign-out", 403)],
)  # fmt: skip
def test_refusal_keeps_the_navigation_of_who_is_signed_in(
    pages: Pages, method: str, path: str, status: int
) -> None:
    answer = pages.signed_in("li").request(method, path)
    assert answer.status_code == status
    assert 'href="/sessions"' in answer.text
    assert 'action="/sign-out"' in answer.text
    assert 'href="/nodes"' not in answer.text
    assert 'action="/sign-out"' not in pages.browser().get(path).text


def test_part_of_a_page_is_refused_by_a_part(pages: Pages) -> None:
    answer = pages.browser().get("/nothing", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert answer.headers["hx-retarget"] == "#problem"
    assert "<html" not in answer.text


def test_fault_inside_shows_words_and_the_same_headers(
    pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the token is hunter2")

    monkeypatch.setattr("central.accounts.any_account", fail)
    answer = pages.browser().get("/")
    assert answer.status_code == 500
    assert "系统内部出错" in answer.text
    assert "hunter2" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
