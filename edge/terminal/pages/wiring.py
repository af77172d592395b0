"""The pages as part of the terminal's application: the kit, the routers, who is asking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import RedirectResponse, Response

from edge.session.service import Caller
from edge.terminal.condition import condition
from edge.terminal.pages.fields import field_of
from edge.terminal.pages.forms import Posted, posted
from edge.terminal.pages.once import Once
from edge.terminal.parts import Parts
from retention.pages.formats import day_of
from retention.pages.kit import PageKit
from retention.records.clock import Clock
from retention.terms.problems import Problem, Refusal

HERE = Path(__file__).parent


def page_kit(clock: Clock) -> PageKit:
    """Return the counter's templates and assets."""
    kit = PageKit(
        templates=HERE / "templates",
        assets=(HERE / "assets",),
        clock=clock,
        brand=("佐证 · 收银台", "Countersight counter"),
    )
    kit.environment.globals |= {"field_of": field_of, "once": Once.new}
    return kit


def caller_of(request: Request) -> Caller | None:
    """Return the terminal whose cookie the guard has recognised, if any."""
    caller = request.scope["caller"]
    return caller if isinstance(caller, Caller) else None


def at_counter(request: Request) -> Caller:
    """Return the paired terminal that asks. Raises Refusal UNAUTHENTICATED."""
    caller = caller_of(request)
    if caller is None:
        raise Refusal(Problem(401, "UNAUTHENTICATED", "this browser is not paired"))
    return caller


Here = Annotated[Caller, Depends(at_counter)]
Form = Annotated[Posted, Depends(posted)]


def bar(parts: Parts) -> dict[str, Any]:
    """Return what the top bar shows when a page comes, so that nothing moves a moment later."""
    today = day_of(parts.store.clock.now())
    return {"condition": condition(parts), "today": today, "seen": ""}


def go_on(request: Request, path: str) -> Response:
    """Lead on after a form: htmx by its header, everybody else by 303."""
    if "hx-request" in request.headers:
        return Response(headers={"HX-Redirect": path})
    return RedirectResponse(path, 303)


def session_path(session: str, **values: str) -> str:
    """Return a session's address."""
    query = "&".join(f"{name}={value}" for name, value in values.items())
    return f"/counter/sessions/{session}" + (f"?{query}" if query else "")


def install_pages(app: FastAPI, parts: Parts) -> None:
    """Add the pages to the application."""
    # Imported here because the routers import this module for what is above.
    from edge.terminal.pages.camera_routes import camera_router
    from edge.terminal.pages.consent_routes import consent_router
    from edge.terminal.pages.device_routes import device_router
    from edge.terminal.pages.duty_routes import duty_page_router
    from edge.terminal.pages.session_routes import session_router
    from edge.terminal.pages.settle_routes import settle_router
    from edge.terminal.pages.start_routes import start_router

    kit = page_kit(parts.store.clock)
    once = Once()
    app.state.pages = kit
    app.include_router(kit.router())
    app.include_router(camera_router(parts, kit))
    app.include_router(consent_router(parts, kit))
    for router in (start_router, device_router, session_router, settle_router, duty_page_router):
        app.include_router(router(parts, kit, once))
