"""Who is signed in, and that a form was ours.

(1) the cookie names a sign-in that has neither ended nor expired, of an account not disabled
(2) the role allows the page, and somebody whose password another person gave changes it first
(3) whatever changes something came from a page of ours: the browser names no other origin, and the
    form carries the sign-in's CSRF token, which only our pages know
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response

from central import sign_ins
from central.web.state import Actor, State, WebState
from retention.terms.problems import Problem, Refusal

Role = Literal["inspector", "admin"]
COOKIE = "sign_in"
NONCE = 32  # hex digits, as many as of the digest that follows
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account in a browser. `sign_in` is the SHA-256 of its cookie, `csrf` what forms carry."""

    account: str
    role: Role
    sign_in: str
    csrf: str

    def actor(self, reason: str = "") -> Actor:
        """Return who asks, for access rows."""
        return Actor(self.account, reason)


class SignInNeeded(Exception):
    """Nobody is signed in, or no longer. Answered with the sign-in page, then back again."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__("a cookie was there" if expired else "no cookie")
        self.expired = expired


class PasswordNeeded(Exception):
    """Somebody has a password that another person knows. Answered with the page to change it."""


def check_origin(request: Request) -> None:
    """See that no other site sent this (3). Raises Refusal 403 FORM_ELSEWHERE.

    Over plain HTTP on a LAN there is no Sec-Fetch-Site; the origin is there, and it is never null
    for a form of ours. Who tells neither is no browser of today and leaves it to the token.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        ours = site in ("same-origin", "none")  # none: the person did it, as with a reload
    else:
        origin = request.headers.get("origin")
        ours = origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
    if not ours:
        raise Refusal(Problem(403, "FORM_ELSEWHERE"))


async def given_csrf(request: Request) -> str:
    """Return the CSRF token that came with an unsafe request, from the header or the form."""
    if request.method in SAFE_METHODS:
        return ""
    header = request.headers.get("x-csrf")
    if header is not None:
        return header
    field = (await request.form()).get("csrf", "")
    return field if isinstance(field, str) else ""


def csrf_of(token: str, nonce: str) -> str:
    """Return what a page's forms carry: made of the cookie's token, telling nothing of it.

    Every page has its own nonce: from the length of a compressed page nobody learns the next one's.
    """
    made = hmac.new(token.encode(errors="replace"), f"csrf {nonce}".encode(), hashlib.sha256)
    return nonce + made.hexdigest()[:NONCE]


def person_of(state: WebState, request: Request) -> sign_ins.Person | None:
    """Return whose cookie came, if it still holds (1); unless a page asked by itself, as activity.

    What htmx fetches does not keep a sign-in alive: a page left open polls for ever.
    """
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    now = state.now()
    with state.database.read() as connection:
        found = sign_ins.person(
            connection, sign_ins.digest(token), now, state.config.web.idle
        )  # fmt: skip
    polled = request.method == "GET" and "hx-request" in request.headers
    if found and not polled and now - found.last_seen_at >= sign_ins.TOUCHED_EVERY:
        with state.database.write() as connection:
            sign_ins.touch(connection, found.sign_in, now)
    return found


def require_person(
    request: Request, state: State, csrf: Annotated[str, Depends(given_csrf)]
) -> sign_ins.Person:
    """Return who is signed in, with a password of their own or not yet. Raises SignInNeeded,
    Refusal (403 FORM_ELSEWHERE, FORM_STALE)."""
    check_origin(request)
    found = person_of(state, request)
    if found is None:
        raise SignInNeeded(expired=COOKIE in request.cookies)
    show_who(request, found)
    if request.method not in SAFE_METHODS:
        wanted = csrf_of(request.cookies[COOKIE], csrf[:NONCE])
        if not hmac.compare_digest(csrf.encode(), wanted.encode()):
            raise Refusal(Problem(403, "FORM_STALE"))
    return found


def show_who(request: Request, found: sign_ins.Person) -> None:
    """Let a refusal's page keep the navigation of who may use it (central/web/problems.py)."""
    if not found.must_change:
        request.state.me = signed_in(request, found)


def signed_in(request: Request, found: sign_ins.Person) -> SignedIn:
    """Return a person as pages know them."""
    csrf = csrf_of(request.cookies[COOKIE], secrets.token_hex(NONCE // 2))
    return SignedIn(found.account, found.role, found.sign_in, csrf)


def require_signed_in(
    request: Request, found: Annotated[sign_ins.Person, Depends(require_person)]
) -> SignedIn:
    """Return who is signed in, inspector or admin. Raises SignInNeeded, PasswordNeeded, Refusal
    (403 FORM_ELSEWHERE, FORM_STALE)."""
    if found.must_change:
        raise PasswordNeeded
    return signed_in(request, found)


def require_admin_signed_in(me: Annotated[SignedIn, Depends(require_signed_in)]) -> SignedIn:
    """Return the admin who is signed in. Raises SignInNeeded, Refusal (403 FORBIDDEN)."""
    if me.role != "admin":
        raise Refusal(Problem(403, "FORBIDDEN"))
    return me


def give_cookie(state: WebState, response: Response, token: str) -> None:
    """Hand a sign-in to the browser; scripts cannot read it, and it goes when the browser does."""
    response.set_cookie(
        COOKIE, token, path="/", httponly=True, samesite="lax", secure=state.config.web.over_tls
    )


Me = Annotated[SignedIn, Depends(require_signed_in)]
AdminMe = Annotated[SignedIn, Depends(require_admin_signed_in)]
