"""Accounts and roles: what an admin does with them, and that nobody else may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from unittest import mock

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from central.pages.signed_in import require_admin_signed_in, require_person
from central.web.app import create_app
from central.web.state import WebState
from tests.central.pages.conftest import PASSWORD, Pages, csrf, sign_in

ONE_TIME = re.compile(r'data-test="one-time">([^<]+)<')
# Pages that people see before they are signed in.
OPEN = {"/", "/sign-in", "/first", "/language/{lang}", "/assets/{digest}/{name}"}


def page_routes() -> Iterator[tuple[str, str, APIRoute]]:
    """Every method and path of a page."""
    app = create_app(mock.create_autospec(WebState, instance=True))
    for included in app.routes:
        router = getattr(included, "original_router", None)
        for route in [] if router is None else router.routes:
            if isinstance(route, APIRoute) and not route.path.startswith("/v1/"):
                for method in sorted(route.methods or ()):
                    yield method, route.path, route


def needs(dependant: Dependant, dependency: object) -> bool:
    return dependant.call is dependency or any(
        needs(inner, dependency) for inner in dependant.dependencies
    )


ADMIN_ROUTES = [
    (method, path)
    for method, path, route in page_routes()
    if needs(route.dependant, require_admin_signed_in)
]


def test_every_page_asks_who_is_there() -> None:
    found = {path for _, path, route in page_routes() if not needs(route.dependant, require_person)}
    assert found == OPEN


def test_what_is_no_session_and_no_sign_in_is_for_admins() -> None:
    for_all = {"/password", "/sign-out", *OPEN}
    found = {
        (method, path)
        for method, path, _ in page_routes()
        if path not in for_all and path.split("/")[1] != "sessions"
    }
    assert found == set(ADMIN_ROUTES)
    assert ("GET", "/access.csv") in found


def test_no_inspector_gets_a_page_of_admins(pages: Pages) -> None:
    browser, stranger = pages.signed_in("li"), pages.browser()
    form = {"csrf": csrf(browser)}
    for method, path in ADMIN_ROUTES:
        path = re.sub(r"\{[^}]*\}", "x", path)
        refused = browser.request(method, path, data=form if method == "POST" else None)
        assert (refused.status_code, "没有权限" in refused.text) == (403, True), path
        assert stranger.request(method, path).headers["location"].startswith("/sign-in"), path


@pytest.fixture
def admin(pages: Pages) -> httpx.Client:
    return pages.signed_in("chen", "admin")


def post(browser: httpx.Client, path: str, **form: str) -> httpx.Response:
    return browser.post(path, data={"csrf": csrf(browser), **form})


def one_time(answer: httpx.Response) -> str:
    found = ONE_TIME.search(answer.text)
    assert found is not None, answer.text
    return found.group(1)


def test_account_is_added_with_a_password_that_is_shown_once(
    pages: Pages, admin: httpx.Client
) -> None:
    made = post(admin, "/accounts", name="Li.Wei", role="inspector")
    password = one_time(made)
    assert made.headers["cache-control"] == "no-store"
    assert password not in admin.get("/accounts").text
    assert password not in admin.get("/accounts/one?name=li.wei").text
    browser = pages.browser()
    assert sign_in(browser, "li.wei", password).status_code == 303
    assert browser.get("/").headers["location"] == "/password"
    assert pages.rows("account.add") == [("chen", "account li.wei (inspector)")]


def test_no_two_passwords_are_the_same(admin: httpx.Client) -> None:
    made = {one_time(post(admin, "/accounts", name=f"li{n}", role="admin")) for n in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize(
    ("form", "status", "reason"),
    [
        ({"name": "chen", "role": "inspector"}, 409, "NAME_TAKEN"),
        ({"name": "CHEN", "role": "inspector"}, 409, "NAME_TAKEN"),
        ({"name": "<script>alert(1)</script>", "role": "inspector"}, 422, "NAME_REFUSED"),
        ({"name": "wang", "role": "owner"}, 422, "INVALID_REQUEST"),
        ({}, 422, "NAME_REFUSED"),
    ],
)
def test_account_that_cannot_be_is_refused_beside_the_form(
    admin: httpx.Client, form: dict[str, str], status: int, reason: str
) -> None:
    answer = post(admin, "/accounts", **form)
    assert answer.status_code == status
    assert f'data-code="{reason}"' in answer.text
    assert "<script>" not in answer.text
    assert answer.text.count('data-test="account-row"') == 1


def test_sent_twice_adds_one_account(pages: Pages, admin: httpx.Client) -> None:
    form = {"name": "li", "role": "inspector"}
    found = sorted(post(admin, "/accounts", **form).status_code for _ in range(2))
    assert found == [200, 409]
    assert len(pages.rows("account.add")) == 1


def test_role_holds_from_the_next_click(pages: Pages, admin: httpx.Client) -> None:
    browser = pages.signed_in("li")
    assert browser.get("/accounts").status_code == 403
    answer = post(admin, "/accounts/role", name="li", role="admin")
    assert answer.headers["location"] == "/accounts/one?name=li&saved=role"
    assert browser.get("/accounts").status_code == 200
    assert pages.rows("account.role") == [("chen", "account li (inspector to admin)")]


def test_disabled_account_is_out_at_once(pages: Pages, admin: httpx.Client) -> None:
    browser = pages.signed_in("li")
    assert post(admin, "/accounts/disable", name="li").status_code == 303
    assert browser.get("/password").status_code == 303
    assert sign_in(pages.browser(), "li").status_code == 403
    assert "已停用" in admin.get("/accounts").text
    assert post(admin, "/accounts/enable", name="li").status_code == 303
    assert browser.get("/password").status_code == 303  # enabling revives no old sign-in
    assert sign_in(pages.browser(), "li").status_code == 303
    assert pages.rows("account.disable") == pages.rows("account.enable") == [("chen", "account li")]


def test_new_password_ends_the_old_one_and_every_lock(pages: Pages, admin: httpx.Client) -> None:
    browser = pages.signed_in("li")
    for _ in range(5):
        sign_in(pages.browser(), "li", "wrong wrong")
    assert "锁定至" in admin.get("/accounts").text
    password = one_time(post(admin, "/accounts/reset", name="li"))
    assert browser.get("/password").status_code == 303
    assert sign_in(pages.browser(), "li").status_code == 403
    assert sign_in(pages.browser(), "li", password).status_code == 303
    assert pages.rows("account.reset") == [("chen", "account li")]


def test_admin_opens_a_lock_that_a_stranger_caused(pages: Pages, admin: httpx.Client) -> None:
    browser = pages.signed_in("li")
    assert 'data-test="account-unlock"' not in admin.get("/accounts/one?name=li").text
    for _ in range(5):
        sign_in(pages.browser(), "li", "wrong wrong")
    assert 'data-test="account-unlock"' in admin.get("/accounts/one?name=li").text
    assert post(admin, "/accounts/enable", name="li").status_code == 303
    assert sign_in(pages.browser(), "li").status_code == 303
    assert browser.get("/password").status_code == 200


def test_own_password_is_changed_with_the_present_one_only(
    pages: Pages, admin: httpx.Client
) -> None:
    assert post(admin, "/accounts/reset", name="chen").headers["location"] == "/password"
    assert sign_in(pages.browser(), "chen").status_code == 303


@pytest.mark.parametrize(
    ("path", "form"), [("/accounts/disable", {}), ("/accounts/role", {"role": "inspector"})]
)
def test_last_admin_stays(
    pages: Pages, admin: httpx.Client, path: str, form: dict[str, str]
) -> None:
    pages.account("wang", "admin")
    assert post(admin, "/accounts/disable", name="wang").status_code == 303  # chen is left
    answer = post(admin, path, name="chen", **form)
    assert answer.status_code == 409
    assert 'data-code="LAST_ADMIN"' in answer.text
    post(admin, "/accounts/enable", name="wang")
    assert post(admin, path, name="chen", **form).status_code == 303


def test_two_admins_cannot_remove_each_other_at_once(pages_on_disk: Pages) -> None:
    pages = pages_on_disk
    both = [pages.signed_in("chen", "admin"), pages.signed_in("wang", "admin")]
    forms = [
        {"csrf": csrf(both[0]), "name": "wang"},
        {"csrf": csrf(both[1]), "name": "chen"},
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: both[n].post("/accounts/disable", data=forms[n]), range(2)))
    assert len(pages.rows("account.disable")) == 1


@pytest.mark.parametrize("action", ["role", "reset", "disable", "enable"])
def test_unknown_account_is_a_page_in_words(admin: httpx.Client, action: str) -> None:
    answer = post(admin, f"/accounts/{action}", name="nobody", role="admin")
    assert answer.status_code == 404
    assert "没有这个账号" in answer.text


def test_looking_at_accounts_is_written_down(pages: Pages, admin: httpx.Client) -> None:
    admin.get("/accounts")
    admin.get("/accounts/one?name=chen")
    assert pages.rows("account.list") == [("chen", "accounts")]
    assert pages.rows("account.read") == [("chen", "account chen")]


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_pages_read_in_both_languages(pages: Pages, admin: httpx.Client, lang: str) -> None:
    pages.account("li", "inspector", must_change=True)
    post(admin, "/accounts", name="wang", role="inspector")
    post(admin, "/accounts/disable", name="wang")
    admin.cookies.set("lang", lang)
    marks = {"zh": "管理员", "en": "Admin"}
    shown = [
        admin.get("/accounts").text,
        admin.get("/accounts/one?name=wang&saved=disable").text,
        admin.get("/accounts/one?name=chen&saved=role").text,
        post(admin, "/accounts/reset", name="li").text,
        admin.get("/password?saved=1").text,
    ]
    for text in shown:
        assert f'<html lang="{"zh-CN" if lang == "zh" else "en"}">' in text
        assert text.count("<h1>") == 1
        assert "<script>" not in text
        assert " style=" not in text
    assert marks[lang] in shown[0]
    assert {"zh": "English", "en": "中文"}[lang] in shown[0]
    if lang == "en":
        assert not re.search("[一-鿿]", shown[1].replace("中文", ""))


def test_time_of_a_lock_passes(pages: Pages, admin: httpx.Client) -> None:
    pages.account("li", "inspector")
    for _ in range(5):
        sign_in(pages.browser(), "li", "wrong wrong")
    pages.clock.advance(timedelta(minutes=16))
    assert "锁定至" not in admin.get("/accounts").text
    assert sign_in(pages.browser(), "li", PASSWORD).status_code == 303
