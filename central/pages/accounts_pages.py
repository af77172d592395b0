"""Accounts and roles, for admins. Every look and every change is an access row.

A password that we make is in the answer to the form that asked for it, and nowhere else.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import Connection

from central import accounts, passwords
from central.pages.kit import kit_of
from central.pages.signed_in import AdminMe, SignedIn
from central.web.state import State, WebState, record_access
from retention.pages.kit import query_path
from retention.terms.problems import Problem, Refusal

router = APIRouter(prefix="/accounts", include_in_schema=False)
Name = Annotated[str, Form(max_length=64)]
RoleField = Annotated[str, Form(max_length=64)]
SAVED = frozenset({"role", "disable", "enable"})


@router.get("")
def list_accounts(request: Request, state: State, me: AdminMe) -> Response:
    """List who may sign in, and as what."""
    return _list(request, state, me)


@router.post("")
def add_account(
    request: Request, state: State, me: AdminMe, name: Name = "", role: RoleField = ""
) -> Response:
    """Add an account and show its first password, once."""
    made = passwords.one_time()
    try:
        kept, as_what = accounts.clean_name(name), accounts.clean_role(role)
        stored = passwords.hashed(made)
        with state.database.write() as connection:
            accounts.add(
                connection, name=kept, role=as_what, password_hash=stored,
                now=state.now(), by=me.account, must_change=True,
            )  # fmt: skip
            _tell(state, connection, me, "account.add", f"account {kept} ({as_what})")
    except Refusal as refusal:
        return _list(request, state, me, typed=name, chosen=role, problem=refusal.problem)
    return _made(request, me, kept, made, added=True)


@router.get("/one")
def one_account(
    request: Request,
    state: State,
    me: AdminMe,
    name: Annotated[str, Query(max_length=64)],
    saved: str = "",
) -> Response:
    """Show an account and what may be changed about it, with what each change does."""
    return _one(request, state, me, name, saved=saved if saved in SAVED else "")


@router.post("/role")
def change_role(
    request: Request, state: State, me: AdminMe, name: Name, role: RoleField = ""
) -> Response:
    """Make somebody inspector or admin, from their next click on."""
    try:
        new = accounts.clean_role(role)
        with state.database.write() as connection:
            old = accounts.account(connection, name).role
            accounts.set_role(connection, name, new)
            if old != new:
                _tell(state, connection, me, "account.role", f"account {name} ({old} to {new})")
    except Refusal as refusal:
        return _one(request, state, me, name, problem=refusal.problem)
    return _saved(name, "role")


@router.post("/reset")
def reset_password(request: Request, state: State, me: AdminMe, name: Name) -> Response:
    """Give somebody a new password, shown once; whatever they have open is signed out."""
    if name == me.account:
        return RedirectResponse("/password", 303)
    made = passwords.one_time()
    stored = passwords.hashed(made)
    with state.database.write() as connection:
        accounts.set_password(connection, name, stored, state.now(), must_change=True)
        _tell(state, connection, me, "account.reset", f"account {name}")
    return _made(request, me, name, made, added=False)


@router.post("/disable")
def disable_account(request: Request, state: State, me: AdminMe, name: Name) -> Response:
    """Let somebody in no more."""
    try:
        with state.database.write() as connection:
            accounts.disable(connection, name, state.now())
            _tell(state, connection, me, "account.disable", f"account {name}")
    except Refusal as refusal:
        return _one(request, state, me, name, problem=refusal.problem)
    return _saved(name, "disable")


@router.post("/enable")
def enable_account(state: State, me: AdminMe, name: Name) -> Response:
    """Let somebody in again who was disabled or is locked."""
    with state.database.write() as connection:
        accounts.enable(connection, name)
        _tell(state, connection, me, "account.enable", f"account {name}")
    return _saved(name, "enable")


def _tell(state: WebState, connection: Connection, me: SignedIn, action: str, subject: str) -> None:
    record_access(state, connection, me.actor(), action, subject)


def _saved(name: str, what: str) -> Response:
    return RedirectResponse(query_path("/accounts/one", name=name, saved=what), 303)


def _made(request: Request, me: SignedIn, name: str, password: str, *, added: bool) -> Response:
    return kit_of(request).page(
        request, "accounts_password.html", me=me, active="accounts",
        account=name, password=password, added=added,
    )  # fmt: skip


def _list(
    request: Request,
    state: WebState,
    me: SignedIn,
    *,
    typed: str = "",
    chosen: str = "inspector",
    problem: Problem | None = None,
) -> Response:
    with state.database.write() as connection:
        rows = accounts.all_accounts(connection)
        _tell(state, connection, me, "account.list", "accounts")
    return kit_of(request).page(
        request, "accounts.html", status=problem.status if problem else 200, me=me,
        active="accounts", rows=rows, roles=accounts.ROLES, now=state.now(), typed=typed,
        chosen=chosen, problem=problem,
    )  # fmt: skip


def _one(
    request: Request,
    state: WebState,
    me: SignedIn,
    name: str,
    *,
    saved: str = "",
    problem: Problem | None = None,
) -> Response:
    with state.database.write() as connection:
        row = accounts.account(connection, name)
        _tell(state, connection, me, "account.read", f"account {name}")
    return kit_of(request).page(
        request, "accounts_one.html", status=problem.status if problem else 200, me=me,
        active="accounts", row=row, roles=accounts.ROLES, now=state.now(), saved=saved,
        problem=problem,
    )  # fmt: skip
