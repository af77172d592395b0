"""The pages as part of central's web application: the kit, the routers, the answers to people."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from starlette.routing import Match

from central.pages.kit import kit_of, page_kit

# isort: split
# The pages may take kit_of from here; so it comes before them.
from central.pages import (
    access_pages,
    accounts_pages,
    coverage_pages,
    faces_pages,
    footage_pages,
    media,
    nodes_pages,
    replay_rows,
    retention_pages,
    session_hold,
    session_list,
    session_page,
    signing_in,
)
from central.pages.signed_in import (
    SAFE_METHODS,
    PasswordNeeded,
    SignInNeeded,
    person_of,
    show_who,
)
from central.web.problems import on_http, problem_json
from central.web.state import WebState, web_state
from retention.pages.kit import local_path, wants_html
from retention.terms.problems import Problem

__all__ = ["install_pages", "kit_of"]


def install_pages(app: FastAPI, state: WebState) -> None:
    """Add the pages to the application."""
    app.state.pages = page_kit(state)
    app.include_router(app.state.pages.router())
    app.add_exception_handler(SignInNeeded, _on_sign_in_needed)
    app.add_exception_handler(PasswordNeeded, _on_password_needed)
    app.add_exception_handler(404, _on_no_address)
    app.include_router(signing_in.router)
    app.include_router(accounts_pages.router)
    app.include_router(access_pages.router)
    for own in (session_list, session_page, session_hold, footage_pages, replay_rows):
        app.include_router(own.router)
    app.include_router(media.router)
    app.include_router(nodes_pages.router)
    app.include_router(coverage_pages.router)
    app.include_router(retention_pages.router)
    app.include_router(faces_pages.router)


def _on_no_address(request: Request, exc: Exception) -> Response:
    """Answer an address that no route asked who is there for; it is a page like the others."""
    found = person_of(web_state(request), request)
    if found is not None:
        show_who(request, found)
    return on_http(request, exc)


async def _on_sign_in_needed(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, SignInNeeded):
        raise exc
    unsafe = request.method not in SAFE_METHODS
    where = signing_in.address(_page_of(request), expired=exc.expired, unsaved=unsafe)
    return _go(request, where, Problem(401, "UNAUTHENTICATED"))


async def _on_password_needed(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, PasswordNeeded):
        raise exc
    return _go(request, "/password", Problem(403, "PASSWORD_CHANGE_NEEDED"))


def _go(request: Request, where: str, problem: Problem) -> Response:
    """Lead a person on: a page by a redirect, htmx by its header, a player or script by words."""
    if "hx-request" in request.headers:
        return Response(status_code=problem.status, headers={"HX-Redirect": where})
    if wants_html(request):
        return RedirectResponse(where, 303)
    return problem_json(request, problem)


def _page_of(request: Request) -> str:
    """Return the address of the page that a person was on, to come back to."""
    shown = request.headers.get("hx-current-url")
    if shown is not None:
        parts = urlsplit(shown)
        return local_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    as_page = {**request.scope, "method": "GET"}
    shows = any(route.matches(as_page)[0] is Match.FULL for route in request.app.routes)
    return path if shows else "/"
