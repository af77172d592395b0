"""Every refusal as RFC 9457 problem details, or as a page for people; where codes are documented.

One table says which codes a route may answer with; OpenAPI is made from it, and a test compares
it with what the routes can raise. A validation problem names fields, never what was sent in them.
"""

from __future__ import annotations

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from retention.pages.kit import PageKit, wants_html
from retention.store.database import StoreUnavailable
from retention.terms.problems import PROBLEM_MEDIA_TYPE, Problem, Refusal
from retention.terms.reasons import BY_CODE

log = structlog.get_logger(__name__)

STATUS: dict[str, tuple[int, ...]] = {
    "UNAUTHENTICATED": (401,),
    "PAIRING_REFUSED": (403,),
    "PHARMACIST_REFUSED": (403,),
    "SESSION_UNKNOWN": (404,),
    "NOT_ON_DUTY": (404,),
    "CONSENT_UNKNOWN": (404,),
    "NOT_FOUND": (404, 405),
    "TOO_LARGE": (413,),
    "INVALID_REQUEST": (400, 422),
    "IMAGE_REFUSED": (422,),
    "PROXY_FORM_INCOMPLETE": (409, 422),
    "GUARDIAN_UNDER_AGE": (409, 422),
    "STORAGE_UNAVAILABLE": (503,),
    "VERIFIER_UNAVAILABLE": (503,),
    "UNAVAILABLE": (503,),
    "INTERNAL_ERROR": (500,),
}
ANYWHERE = (
    "UNAUTHENTICATED",
    "INVALID_REQUEST",
    "NOT_FOUND",
    "TOO_LARGE",
    "STORAGE_UNAVAILABLE",
    "UNAVAILABLE",
    "INTERNAL_ERROR",
)
STEP = ("SESSION_UNKNOWN", "SESSION_CLOSED", "ALREADY_SETTLED", "SETTLEMENT_UNKNOWN")
GATE = (
    "NO_DECISION",
    "RECEIPT_NOT_ACCEPT",
    "RECEIPT_EXPIRED",
    "RECEIPT_OTHER_SESSION",
    "RECEIPT_OTHER_CLAIM",
    "RECEIPT_SIGNATURE",
    "ATTEMPTS_EXHAUSTED",
    "PROXY_NOT_VERIFIED",
    "PROXY_FORM_INCOMPLETE",
    "CHILD_NO_FACE",
    "GUARDIAN_UNDER_AGE",
    "BASKET_EMPTY",
    "BASKET_INCONSISTENT",
    "TRACE_CODE_TWICE",
    "AMOUNT_TOO_HIGH",
    "PRESCRIPTION_MISSING",
    "PRESCRIPTION_EXPIRED",
    "PRESCRIPTION_OTHER_PATIENT",
    "PHARMACIST_ABSENT",
)
PERMISSION = (
    "SETTLEMENT_MODE",
    "AUTHORISATION_MISSING",
    "AUTHORISATION_EXPIRED",
    "AUTHORISATION_USED",
    "BASKET_CHANGED",
    "PROXY_NOT_VERIFIED",
    "RECEIPT_SIGNATURE",
)


def responses(*codes: str, anywhere: tuple[str, ...] = ANYWHERE) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route for the codes that it may answer with."""
    by_status: dict[int, list[str]] = {}
    for code in (*codes, *anywhere):
        for status in STATUS.get(code, (409,)):
            by_status.setdefault(status, []).append(code)
    return {status: _response(status, found) for status, found in sorted(by_status.items())}


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    lines = [f"`{code}` {BY_CODE[code].zh} / {BY_CODE[code].en}" for code in codes]
    example = Problem(status, codes[0]).to_json("/v1/…")
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
    return {"description": "  \n".join(lines), "content": {PROBLEM_MEDIA_TYPE: content}}


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; `title` and `do` are Chinese, `_en` English.",
    "properties": {
        name: {"type": "string"}
        for name in ("type", "title", "title_en", "code", "detail", "do", "do_en", "instance")
    }
    | {"status": {"type": "integer"}},
    "required": ["type", "title", "title_en", "status", "code", "detail", "instance"],
}


def render(problem: Problem, path: str) -> JSONResponse:
    """Return the problem as a response."""
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else None
    return JSONResponse(
        problem.to_json(path), problem.status, headers, media_type=PROBLEM_MEDIA_TYPE
    )


def answer(request: Request, problem: Problem) -> Response:
    """Return the problem as whoever asks can read it: a page, a part of one, or JSON."""
    pages = getattr(request.app.state, "pages", None)
    if isinstance(pages, PageKit) and not request.url.path.startswith("/v1/"):
        if "hx-request" in request.headers:
            # The page stays as it is, with all that was typed into it; only the words come in.
            headers = {"HX-Retarget": "#problem", "HX-Reswap": "innerHTML"}
            return pages.page(
                request,
                "problem_part.html",
                status=problem.status,
                headers=headers,
                problem=problem,
            )
        if wants_html(request):
            return pages.problem(request, problem)
    return render(problem, request.url.path)


def install(app: FastAPI) -> None:
    """Answer every refusal, known or not, with problem details or with a page."""

    @app.exception_handler(Refusal)
    def _refused(request: Request, exc: Refusal) -> Response:
        return answer(request, exc.problem)

    @app.exception_handler(StoreUnavailable)
    def _no_store(request: Request, exc: StoreUnavailable) -> Response:
        log.error("storage_unavailable", detail=str(exc))
        return answer(request, Problem(503, "STORAGE_UNAVAILABLE"))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, exc: RequestValidationError) -> Response:
        if not request.url.path.startswith("/v1/"):
            # Forms of pages are read by the pages; here only the address can be at fault.
            return answer(request, Problem(404, "NOT_FOUND"))
        errors = [
            {"field": ".".join(str(part) for part in error["loc"]), "message": error["msg"]}
            for error in exc.errors()
        ]
        detail = f"{errors[0]['field']}: {errors[0]['message']}" if errors else ""
        return answer(request, Problem(422, "INVALID_REQUEST", detail, {"errors": errors}))

    @app.exception_handler(HTTPException)
    def _http(request: Request, exc: HTTPException) -> Response:
        known = {404: "NOT_FOUND", 405: "NOT_FOUND", 401: "UNAUTHENTICATED", 413: "TOO_LARGE"}
        code = known.get(exc.status_code, "INVALID_REQUEST")
        said = answer(request, Problem(exc.status_code, code, str(exc.detail)))
        said.headers.update(exc.headers or {})
        return said
