"""What the cameras show now, for the people of the pharmacy: the watch's pictures, facts from rows.

    GET /counter/cameras                            the page; each opening is an access record
    GET /counter/cameras/{camera}/picture?look=     the newest JPEG (204: none), while looking
    GET /counter/cameras/{camera}/state             its state as a part, fetched again by htmx

(1) a paired browser only
(2) a picture is given only within a look that was recorded (invariant 10), to whose terminal it is
(3) a look lasts LOOK_SECONDS; to look on is to look again, and is recorded again
Invariant 9: a picture passes through memory only and is never stored (`no-store`).
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from edge.config import CameraConfig
from edge.session.service import Caller
from edge.terminal.pages.wiring import Here, bar
from edge.terminal.parts import Parts
from edge.uplink.status import is_fresh
from edge.watch.looked import is_looked_at
from retention.pages.kit import PageKit
from retention.records.clock import Clock, from_micros, to_micros
from retention.records.payloads import AccessRecorded
from retention.store import alarms, footage
from retention.store.footage import GapRow, SegmentRow
from retention.store.log import append
from retention.terms.problems import Problem, Refusal

LOOK_SECONDS = 600
MOST_LOOKS = 256


@dataclass(frozen=True, slots=True)
class CameraState:
    """How a camera does: what its recorder says, whether its pictures are looked at and what they
    say, and its open alarms."""

    camera: str
    role: str
    state: Literal["recording", "starting", "down"]
    since: datetime | None
    cause: str | None
    looked_at: bool
    view: str | None
    view_since: datetime | None
    last: SegmentRow | None
    alarms: tuple[str, ...]


class Looks:
    """The looks that were recorded and last still. Memory only: after a restart one looks again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, tuple[str, int]] = {}

    def begin(self, terminal: str) -> str:
        """Begin a look and return its number, which only that terminal may use."""
        number, now = secrets.token_urlsafe(16), self._clock.monotonic_ns()
        with self._lock:
            left = [item for item in self._until.items() if item[1][1] > now]
            self._until = dict(left[-MOST_LOOKS + 1 :])
            self._until[number] = (terminal, now + LOOK_SECONDS * 1_000_000_000)
        return number

    def lasts(self, number: str, terminal: str) -> bool:
        """Say whether a look is this terminal's and not over."""
        with self._lock:
            whose, until = self._until.get(number, ("", 0))
        return whose == terminal and self._clock.monotonic_ns() < until


def camera_router(parts: Parts, kit: PageKit, looks: Looks | None = None) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix="/counter/cameras", include_in_schema=False)
    looks = looks or Looks(parts.store.clock)

    @router.get("")
    def cameras(request: Request, caller: Here) -> Response:
        _record(parts, caller)
        return kit.page(
            request,
            "cameras.html",
            caller=caller,
            look=looks.begin(caller.terminal),
            look_seconds=LOOK_SECONDS,
            cameras=states(parts),
            **bar(parts),
        )

    @router.get("/{camera}/picture")
    def picture(camera: str, caller: Here, look: str = "") -> Response:
        if not looks.lasts(look, caller.terminal):
            raise Refusal(Problem(403, "FORBIDDEN", "open the page to look at the cameras"))
        found = None if parts.cameras is None else parts.cameras.newest(camera)
        if found is None:
            return Response(status_code=204)
        return Response(found.jpeg, media_type="image/jpeg")

    @router.get("/{camera}/state")
    def state(camera: str, request: Request, caller: Here) -> Response:
        found = [one for one in states(parts) if one.camera == camera]
        if not found:
            raise Refusal(Problem(404, "NOT_FOUND", "no such camera"))
        return kit.page(request, "camera_state.html", camera=found[0])

    return router


def states(parts: Parts) -> list[CameraState]:
    """Return how every camera does. Raises StoreUnavailable."""
    now = to_micros(parts.store.clock.now())
    with parts.store.read() as connection:
        return [_state(parts, connection, one, now) for one in parts.config.cameras]


def _state(
    parts: Parts, connection: sqlite3.Connection, camera: CameraConfig, now: int
) -> CameraState:
    gap = footage.open_gap_of(connection, camera.id)
    view = footage.open_gap_of(connection, camera.id, "view")
    last = footage.last_sealed(connection, camera.id)
    fresh = is_fresh(parts.config, None if last is None else last.ended_at, now)
    return CameraState(
        camera=camera.id,
        role=camera.scene_role.value,
        state="down" if gap is not None else "recording" if fresh else "starting",
        since=_began(gap),
        cause=None if gap is None else gap.cause,
        looked_at=is_looked_at(parts.config, parts.store.clock, camera.id),
        view=None if view is None else view.cause,
        view_since=_began(view),
        last=last,
        alarms=tuple(
            row.alarm for row in alarms.open_alarms(connection) if row.subject == camera.id
        ),
    )


def _began(gap: GapRow | None) -> datetime | None:
    return None if gap is None else from_micros(gap.started_at)


def _record(parts: Parts, caller: Caller) -> None:
    """Write who looks before anything is shown."""
    names = ", ".join(camera.id for camera in parts.config.cameras)
    looked = AccessRecorded(
        actor=f"terminal {caller.terminal}",
        action="cameras.look",
        subject=names[:200],
        reason=f"live view at {caller.counter}"[:200],
    )
    with parts.store.write() as connection:
        append(parts.store, connection, looked, counter=caller.counter)
