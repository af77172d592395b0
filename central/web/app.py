"""The application factory: routes, health and metrics."""

from __future__ import annotations

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import func, select

from central.database import require_head
from central.errors import DatabaseOutdated, DatabaseUnavailable
from central.pages.wiring import install_pages
from central.tables import Flag, HoldRow, Node, NodeAlarm, Session, WireIncident, table_of
from central.web import routes_faces, routes_keeping, routes_nodes, routes_sessions
from central.web.limits import BodyLimit
from central.web.problems import install, responses
from central.web.state import State, WebState
from retention.pages.headers import SecurityHeaders
from retention.terms.problems import Problem, Refusal

NODES, SESSIONS = table_of(Node), table_of(Session)
FLAGS, INCIDENTS = table_of(Flag), table_of(WireIncident)
ALARMS, HOLDS = table_of(NodeAlarm), table_of(HoldRow)


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
    app.include_router(routes_keeping.router)
    app.include_router(routes_faces.router)
    app.add_api_route("/healthz", _healthz, tags=["operations"])
    unready = responses(anywhere={503: "STORAGE_UNAVAILABLE"})
    app.add_api_route("/readyz", _readyz, tags=["operations"], responses=unready)
    app.add_api_route("/metrics", _metrics, tags=["operations"], responses=unready)
    install(app)
    install_pages(app, state)
    app.add_middleware(SecurityHeaders)
    return app


def _healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


def _readyz(state: State) -> dict[str, str]:
    """Tell whether requests can be served: the database answers and its schema is current."""
    try:
        require_head(state.database)
    except (DatabaseUnavailable, DatabaseOutdated) as exc:
        raise Refusal(Problem(503, "STORAGE_UNAVAILABLE", str(exc))) from exc
    return {"status": "ready"}


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
            "alarms_open": select(func.count()).where(ALARMS.c.cleared_at.is_(None)),
            "holds_standing": select(func.count()).where(HOLDS.c.released_at.is_(None)),
            "wire_incidents": select(func.count()).select_from(INCIDENTS),
        }
        for name, query in values.items():
            gauge = Gauge(f"countersight_central_{name}", name, registry=registry)
            gauge.set(int(connection.execute(query).scalar_one()))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
