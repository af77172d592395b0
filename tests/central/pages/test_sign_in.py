"""Signing in and out: who gets in, for how long, and what a stranger learns."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from tests.central.pages.conftest import PASSWORD, TOKEN, Pages, csrf, sign_in


def test_password_opens_and_sign_out_closes(pages: Pages) -> None:
    browser = pages.signed_in("li")
    assert browser.get("/").headers["location"] == "/sessions"
    out = browser.post("/sign-out", data={"csrf": csrf(browser)})
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    assert browser.get("/").headers["location"] == "/sign-in"
    assert pages.rows("account.sign_in") == [("li", "account li")]
    assert pages.rows("account.sign_out") == [("li", "account li")]
