"""Every refusal, known or not: a page for a person, a part of one for htmx, RFC 9457 for the rest.

A validation problem names fields, never what was sent in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from central.errors import DatabaseUnavailable
from retention.pages.headers import SECURITY_HEADERS
from retention.pages.kit import PageKit, wants_html
from retention.terms.problems import PROBLEM_MEDIA_TYPE, Problem, Refusal

log = structlog.get_logger()
# status: code; what each route may answer with beside its own refusals
ANYWHERE = {
    401: "UNAUTHENTICATED",
    413: "TOO_LARGE",
    422: "INVALID_REQUEST",
    500: "INTERNAL_ERROR",
    503: "STORAGE_UNAVAILABLE",
}
_CODES = {404: "NOT_FOUND", 405: "METHOD_UNKNOWN", 413: "TOO_LARGE"}
_TEXTS = ("type", "title", "title_en", "code", "detail", "do", "do_en", "instance")
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; `title` and `do` are Chinese, `_en` English.",
    "properties": {name: {"type": "string"} for name in _TEXTS} | {"status": {"type": "integer"}},
    "required": ["type", "title", "title_en", "status", "code", "detail", "instance"],
}


def responses(
    own: Mapping[int, str] | None = None, anywhere: Mapping[int, str] = ANYWHERE
) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route: its `own` refusals (status: code) and the common."""
    found = sorted({**anywhere, **(own or {})}.items())
    return {status: _documented(status, code) for status, code in found}


def install(app: FastAPI) -> None:
    """Answer every failure with problem details, and describe them in OpenAPI."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(DatabaseUnavailable, _on_database)
    app.add_exception_handler(Exception, _on_fault)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]


def _documented(status: int, code: str) -> dict[str, Any]:
    example = Problem(status, code).to_json("/v1/…")
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    return {
        "description": f"`{code}` {example['title']} / {example['title_en']}",
        "content": {PROBLEM_MEDIA_TYPE: content},
    }


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schema["components"]["schemas"]["Problem"] = _SCHEMA
        app.openapi_schema = schema
    return app.openapi_schema


def problem_json(
    request: Request, problem: Problem, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Answer a program."""
    if problem.status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return JSONResponse(
        problem.to_json(request.url.path), problem.status, headers, media_type=PROBLEM_MEDIA_TYPE
    )


def answer(
    request: Request,
    problem: Problem,
    headers: dict[str, str] | None = None,
    *,
    plain: bool = False,
) -> Response:
    """Answer whoever asks. `plain`: the detail is of use to programs only."""
    kit = getattr(request.app.state, "pages", None)
    if not isinstance(kit, PageKit) or request.url.path.startswith("/v1/"):
        return problem_json(request, problem, headers)
    shown = replace(problem, detail="") if plain else problem
    if "hx-request" in request.headers:
        # The page stays as it is, with all that was typed into it; only the words come in. They are
        # scrolled to when somebody did something, not when a page asks again by itself.
        swap = "innerHTML" if request.method == "GET" else "innerHTML show:top"
        ours = {"HX-Retarget": "#problem", "HX-Reswap": swap, **(headers or {})}
        return kit.page(
            request, "problem_part.html", status=problem.status, headers=ours, problem=shown
        )
    if wants_html(request):
        # Who is signed in, when that is known (central/pages/signed_in.py).
        page = kit.problem(request, shown, me=getattr(request.state, "me", None))
        page.headers.update(headers or {})
        return page
    return problem_json(request, problem, headers)


async def _on_refusal(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, Refusal):
        raise exc
    return answer(request, exc.problem)


async def _on_invalid(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    error = exc.errors()[0]
    field = ".".join(str(part) for part in error["loc"])
    return answer(request, Problem(422, "INVALID_REQUEST", f"{field}: {error['msg']}"[:500]))


def on_http(request: Request, exc: Exception) -> Response:
    """Answer what the framework refused."""
    if not isinstance(exc, HTTPException):
        raise exc
    code = _CODES.get(exc.status_code, "INVALID_REQUEST")
    problem = Problem(exc.status_code, code, str(exc.detail))
    return answer(request, problem, dict(exc.headers or {}), plain=code in _CODES.values())


async def _on_database(request: Request, exc: Exception) -> Response:
    log.error("database_unavailable", reason=str(exc))
    problem = Problem(503, "STORAGE_UNAVAILABLE", "the database is not available")
    return answer(request, problem, plain=True)


async def _on_fault(request: Request, exc: Exception) -> Response:
    log.error("request_failed", path=request.url.path, error=type(exc).__name__)
    problem = Problem(500, "INTERNAL_ERROR", "central failed; see its log")
    # This answer is made outside all middleware, so it brings the headers itself.
    headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
    return answer(request, problem, headers, plain=True)
