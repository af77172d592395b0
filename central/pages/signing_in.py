"""The start page, signing in and out, the first account, and one's own password."""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from central import accounts, sign_ins
from central.access import ADMIN_TOKEN
from central.pages.kit import kit_of
from central.pages.signed_in import (
    COOKIE,
    check_origin,
    give_cookie,
    person_of,
    require_person,
    signed_in,
)
from central.web.state import Actor, State, WebState, record_access
from retention.pages.kit import local_path, query_path
from retention.terms.problems import Problem, Refusal

router = APIRouter(include_in_schema=False)
START = {"inspector": "/sessions", "admin": "/nodes"}
Person = Annotated[sign_ins.Person, Depends(require_person)]
Text = Annotated[str, Form(max_length=4096)]


@router.get("/")
def start(request: Request, state: State) -> Response:
    """Go to where this person's work begins."""
    person = person_of(state, request)
    if person is not None:
        return RedirectResponse("/password" if person.must_change else START[person.role], 303)
    return RedirectResponse("/sign-in" if _has_accounts(state) else "/first", 303)


@router.get("/sign-in")
def sign_in_page(
    request: Request, state: State, next: str = "/", expired: str = "", unsaved: str = ""
) -> Response:
    """Ask for name and password; say so when a sign-in ended and when a form was not saved."""
    if not _has_accounts(state):
        return RedirectResponse("/first", 303)
    if person_of(state, request) is not None:
        return RedirectResponse(local_path(next), 303)
    return _sign_in_page(request, next=next, expired=bool(expired), unsaved=bool(unsaved))


@router.post("/sign-in", dependencies=[Depends(check_origin)])
def sign_in(
    request: Request, state: State, name: Text = "", password: Text = "", next: Text = "/"
) -> Response:
    """Sign in, then go on to where the person wanted to go."""
    old = request.cookies.get(COOKIE)
    try:
        token = sign_ins.sign_in(
            state.database,
            state.ids,
            state.now,
            name=name,
            password=password,
            lasts=state.config.web.sign_in_lasts,
            instead_of=sign_ins.digest(old) if old else None,
        )
    except Refusal as refusal:
        return _sign_in_page(request, name=name, next=next, problem=refusal.problem)
    answer = RedirectResponse(local_path(next), 303)
    give_cookie(state, answer, token)
    return answer


@router.post("/sign-out")
def sign_out(state: State, person: Person) -> Response:
    """End this sign-in; others of the same account go on."""
    with state.database.write() as connection:
        sign_ins.end(connection, person.sign_in, state.now())
        actor = Actor(person.account, "")
        record_access(state, connection, actor, "account.sign_out", f"account {person.account}")
    answer = RedirectResponse("/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.get("/first")
def first_page(request: Request, state: State) -> Response:
    """Ask who holds the administrator's token to make the first account."""
    _require_nobody(state)
    return _first_page(request)


@router.post("/first", dependencies=[Depends(check_origin)])
def first(
    request: Request,
    state: State,
    name: Text = "",
    password: Text = "",
    again: Text = "",
    token: Text = "",
) -> Response:
    """Make the first account, an admin, and sign it in. Whoever comes second finds nothing."""
    _require_nobody(state)
    try:
        given = hashlib.sha256(token.strip().encode(errors="replace")).hexdigest()
        if not hmac.compare_digest(given, state.admin_sha256):
            raise Refusal(Problem(403, "ADMIN_TOKEN_REFUSED"))
        kept = accounts.clean_name(name)
        stored = _chosen(kept, password, again)
    except Refusal as refusal:
        return _first_page(request, name=name, problem=refusal.problem)
    with state.database.write() as connection:
        if accounts.any_account(connection):
            raise Refusal(Problem(404, "NOT_FOUND"))
        accounts.add(
            connection, name=kept, role="admin", password_hash=stored,
            now=state.now(), by=ADMIN_TOKEN, must_change=False,
        )  # fmt: skip
        actor = Actor(ADMIN_TOKEN, "")
        record_access(state, connection, actor, "account.add", f"account {kept} (admin)")
        cookie = sign_ins.begin(connection, kept, state.now(), state.config.web.sign_in_lasts)
    answer = RedirectResponse("/", 303)
    give_cookie(state, answer, cookie)
    return answer


@router.get("/password")
def password_page(request: Request, person: Person, saved: str = "") -> Response:
    """Ask for the present password and a new one."""
    return _password_page(request, person, saved=bool(saved))


@router.post("/password")
def change_password(
    request: Request,
    state: State,
    person: Person,
    present: Text = "",
    password: Text = "",
    again: Text = "",
) -> Response:
    """Take a new password; every other sign-in of the account ends."""
    try:
        _check_present(state, person, present)
        if password == present:
            raise Refusal(Problem(422, "PASSWORD_SAME"))
        newer = _chosen(person.account, password, again)
    except Refusal as refusal:
        return _password_page(request, person, problem=refusal.problem)
    with state.database.write() as connection:
        accounts.set_password(
            connection, person.account, newer, state.now(), must_change=False, stays=person.sign_in
        )
        actor = Actor(person.account, "")
        record_access(state, connection, actor, "account.password", f"account {person.account}")
    return RedirectResponse("/" if person.must_change else "/password?saved=1", 303)


def _check_present(state: WebState, person: sign_ins.Person, present: str) -> None:
    """Check the password that somebody has; counted like a sign-in, so that a browser left open
    is no place to guess. Raises Refusal."""
    try:
        sign_ins.check(state.database, state.ids, state.now, name=person.account, password=present)
    except Refusal as refusal:
        if refusal.problem.code != "SIGN_IN_REFUSED":
            raise
        raise Refusal(Problem(403, "PASSWORD_WRONG")) from refusal


def _chosen(name: str, password: str, again: str) -> str:
    """Return what is kept of a password that was typed twice. Raises Refusal."""
    if password != again:
        raise Refusal(Problem(422, "PASSWORD_TWICE"))
    return accounts.check_password(name, password)


def _has_accounts(state: WebState) -> bool:
    with state.database.read() as connection:
        return accounts.any_account(connection)


def _require_nobody(state: WebState) -> None:
    if _has_accounts(state):
        raise Refusal(Problem(404, "NOT_FOUND"))


def _sign_in_page(
    request: Request,
    *,
    next: str,
    name: str = "",
    expired: bool = False,
    unsaved: bool = False,
    problem: Problem | None = None,
) -> Response:
    return kit_of(request).page(
        request, "sign_in.html", status=problem.status if problem else 200, me=None,
        next=local_path(next), typed=name, expired=expired, unsaved=unsaved, problem=problem,
    )  # fmt: skip


def _first_page(request: Request, name: str = "", problem: Problem | None = None) -> Response:
    status = problem.status if problem else 200
    return kit_of(request).page(
        request, "first.html", status=status, me=None, typed=name, problem=problem
    )


def _password_page(
    request: Request,
    person: sign_ins.Person,
    *,
    saved: bool = False,
    problem: Problem | None = None,
) -> Response:
    return kit_of(request).page(
        request, "password.html", status=problem.status if problem else 200,
        me=signed_in(request, person), must_change=person.must_change, saved=saved,
        problem=problem,
    )  # fmt: skip


def address(path: str, *, expired: bool, unsaved: bool) -> str:
    """Return the address of the sign-in page that leads back to `path`."""
    return query_path(
        "/sign-in",
        next=None if path == "/" else local_path(path),
        expired="1" if expired else None,
        unsaved="1" if expired and unsaved else None,
    )
