"""The terminal API and the counter's pages as one FastAPI application, built from given parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from edge.config import EdgeConfig
from edge.platform.port import SettlementPort
from edge.session.service import SessionService
from edge.session.settling import Settler
from edge.terminal.cameras import CameraPictures
from edge.terminal.live import LiveView
from edge.terminal.pages.live_routes import live_router
from edge.terminal.pages.wiring import install_pages
from edge.terminal.pairing import terminal_of
from edge.terminal.parts import Parts
from edge.terminal.problems import PROBLEM_SCHEMA, install
from edge.terminal.routes_decisions import decisions_router
from edge.terminal.routes_devices import devices_router
from edge.terminal.routes_duty import duty_router
from edge.terminal.routes_people import people_router
from edge.terminal.routes_sessions import sessions_router
from edge.terminal.routes_settlement import settlement_router
from edge.terminal.security import Guard
from edge.verifier.protocol import Verifier
from retention.keyfiles import KeyDirectory
from retention.pages.headers import SecurityHeaders
from retention.store.database import NodeStore, StoreUnavailable

VERSION = "1"
LEAST_FREE_BYTES = 1024 * 1024


def create_app(
    *,
    store: NodeStore,
    verifier: Verifier,
    keys: KeyDirectory,
    config: EdgeConfig,
    settlement: SettlementPort | None = None,
    verifier_answers: Callable[[], bool] = lambda: True,
    live: LiveView | None = None,
    cameras: CameraPictures | None = None,
) -> FastAPI:
    """Return the application. `app.state.settler` is there when a settlement port is."""
    service = SessionService(store, keys.signer(), config)
    parts = Parts(
        store=store,
        service=service,
        verifier=verifier,
        verifier_answers=verifier_answers,
        settler=Settler(service, settlement) if settlement is not None else None,
        config=config,
        person_key=keys.secret("person"),
        live=live,
        cameras=cameras,
    )
    app = FastAPI(
        title="Countersight terminal API",
        version=VERSION,
        description="药店柜台接口 / The counter's API. Amounts are strings; times are UTC.",
        docs_url=None,
        redoc_url=None,
    )
    for router in (people_router, sessions_router, decisions_router, settlement_router):
        app.include_router(router(parts))
    app.include_router(duty_router(parts))
    app.include_router(devices_router(parts))
    app.include_router(live_router(parts))
    _add_health(app, parts)
    install_pages(app, parts)
    install(app)
    app.add_middleware(Guard, find_terminal=lambda token: terminal_of(store, token))
    app.add_middleware(SecurityHeaders)
    app.state.settler = parts.settler
    app.state.parts = parts
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _add_health(app: FastAPI, parts: Parts) -> None:
    @app.get("/healthz", tags=["health"], summary="进程存活 / The process is alive")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get(
        "/readyz",
        tags=["health"],
        summary="可以办理业务 / The database is writable and the verifier answers",
        responses={503: {"description": "不可用 / Not ready; says which part is not"}},
    )
    def readyz() -> JSONResponse:
        # A verifier that is looking at somebody is busy, not gone.
        ready = {
            "store": _writable(parts.store),
            "verifier": parts.any_camera_in_use() or parts.verifier_answers(),
        }
        return JSONResponse(ready, 200 if all(ready.values()) else 503)

    @app.get("/metrics", tags=["health"], summary="Prometheus 指标 / Prometheus metrics")
    def metrics() -> Response:
        return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _writable(store: NodeStore) -> bool:
    try:
        # A transaction that writes nothing begins on a full disk too.
        with store.write():
            return shutil.disk_usage(store.path.parent).free >= LEAST_FREE_BYTES
    except (StoreUnavailable, OSError):
        return False


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schema["components"]["schemas"]["Problem"] = PROBLEM_SCHEMA
        app.openapi_schema = schema
    return app.openapi_schema
