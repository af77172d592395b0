"""Central's templates and assets, and where the pages find them."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request

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
