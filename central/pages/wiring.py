"""The pages as part of central's web application: the kit, the routers, the answers to people."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request

from central.web.state import WebState
from retention.pages.kit import PageKit

HERE = Path(__file__).parent


def page_kit(state: WebState) -> PageKit:
    """Return central's templates and assets."""
    return PageKit(
        templates=HERE / "templates",
        assets=(HERE / "assets",),
        clock=state.clock,
        brand=("佐证 · 复核中心", "Countersight central"),
    )


def kit_of(request: Request) -> PageKit:
    """Return the kit that `install_pages` put there."""
    found = request.app.state.pages
    if not isinstance(found, PageKit):
        raise TypeError("install_pages was not called")
    return found


def install_pages(app: FastAPI, state: WebState) -> None:
    """Add the pages to the application."""
    app.state.pages = page_kit(state)
    app.include_router(app.state.pages.router())
