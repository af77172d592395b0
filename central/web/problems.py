"""Every refusal of the API as RFC 9457 problem details, known or not, and as OpenAPI tells them.

A validation problem names fields, never what was sent in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from central.errors import DatabaseUnavailable
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
_CODES = {404: "NOT_FOUND", 405: "NOT_FOUND"}
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
    app.add_exception_handler(HTTPException, _on_http)
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


async def _on_refusal(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, Refusal):
        raise exc
    return problem_json(request, exc.problem)


async def _on_invalid(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    error = exc.errors()[0]
    field = ".".join(str(part) for part in error["loc"])
    return problem_json(request, Problem(422, "INVALID_REQUEST", f"{field}: {error['msg']}"[:500]))


async def _on_http(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    code = _CODES.get(exc.status_code, "INVALID_REQUEST")
    problem = Problem(exc.status_code, code, str(exc.detail))
    return problem_json(request, problem, dict(exc.headers or {}))


async def _on_database(request: Request, exc: Exception) -> Response:
    log.error("database_unavailable", reason=str(exc))
    return problem_json(
        request, Problem(503, "STORAGE_UNAVAILABLE", "the database is not available")
    )


async def _on_fault(request: Request, exc: Exception) -> Response:
    log.error("request_failed", path=request.url.path, error=type(exc).__name__)
    return problem_json(request, Problem(500, "INTERNAL_ERROR", "central failed; see its log"))
