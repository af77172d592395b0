"""The application factory: routes, problem details, health and metrics."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func, select
from starlette.exceptions import HTTPException

from central.database import require_head
from central.errors import DatabaseOutdated, DatabaseUnavailable
from central.tables import Flag, Node, Session, WireIncident, table_of
from central.web import routes_nodes, routes_sessions
from central.web.limits import BodyLimit
from central.web.state import State, WebState
from retention.terms.problems import PROBLEM_MEDIA_TYPE, Problem, Refusal

log = structlog.get_logger()
NODES, SESSIONS = table_of(Node), table_of(Session)
FLAGS, INCIDENTS = table_of(Flag), table_of(WireIncident)


def create_app(state: WebState) -> FastAPI:
    """Build the web application around what it works with."""
    app = FastAPI(
        title="Countersight central",
        version="1",
        docs_url=None,
        redoc_url=None,
        description="Nodes, records and sessions as they reached central. Times are UTC.",
    )
    app.state.countersight = state
    app.add_middleware(BodyLimit)
    app.include_router(routes_nodes.router)
    app.include_router(routes_sessions.router)
    app.add_api_route("/healthz", _healthz, tags=["operations"])
    app.add_api_route("/readyz", _readyz, tags=["operations"])
    app.add_api_route("/metrics", _metrics, tags=["operations"])
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DatabaseUnavailable, _on_database)
    return app


def _healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


def _readyz(state: State) -> Response:
    """Tell whether requests can be served: the database answers and its schema is current."""
    try:
        require_head(state.database)
    except (DatabaseUnavailable, DatabaseOutdated) as exc:
        return JSONResponse({"status": "unavailable", "detail": str(exc)}, status_code=503)
    return JSONResponse({"status": "ready"})


def _metrics(state: State) -> Response:
    """Show counts of the database in the Prometheus format."""
    registry = CollectorRegistry()
    with state.database.read() as connection:
        values = {
            "nodes": select(func.count()).select_from(NODES),
            "records": select(func.coalesce(func.sum(NODES.c.expected_sent), 0)),
            "records_projected": select(func.coalesce(func.sum(NODES.c.projected_sent), 0)),
            "sessions": select(func.count()).select_from(SESSIONS),
            "flags_open": select(func.count()).where(FLAGS.c.cleared_at.is_(None)),
            "wire_incidents": select(func.count()).select_from(INCIDENTS),
        }
        for name, query in values.items():
            gauge = Gauge(f"countersight_central_{name}", name, registry=registry)
            gauge.set(int(connection.execute(query).scalar_one()))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _problem(request: Request, problem: Problem) -> Response:
    return JSONResponse(
        problem.to_json(request.url.path),
        status_code=problem.status,
        media_type=PROBLEM_MEDIA_TYPE,
        headers={"WWW-Authenticate": "Bearer"} if problem.status == 401 else None,
    )


async def _on_refusal(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, Refusal):
        raise exc
    return _problem(request, exc.problem)


async def _on_invalid(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, RequestValidationError):
        raise exc
    error = exc.errors()[0]
    field = ".".join(str(part) for part in error["loc"])
    return _problem(request, Problem(422, "INVALID_REQUEST", f"{field}: {error['msg']}"[:500]))


async def _on_http(request: Request, exc: Exception) -> Response:
    if not isinstance(exc, HTTPException):
        raise exc
    code = "NOT_FOUND" if exc.status_code == 404 else "INVALID_REQUEST"
    return _problem(request, Problem(exc.status_code, code, str(exc.detail)))


async def _on_database(request: Request, exc: Exception) -> Response:
    log.error("database_unavailable", reason=str(exc))
    return _problem(request, Problem(503, "STORAGE_UNAVAILABLE", "the database is not available"))
