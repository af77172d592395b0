"""What the routes are built from, passed in once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CollectorRegistry, Counter

from edge.config import EdgeConfig
from edge.room import RoomWatch
from edge.session.service import Caller, SessionService, Standing
from edge.session.settling import Settler
from edge.session.state import SessionState
from edge.terminal.cameras import CameraPictures
from edge.terminal.devices import Devices, devices_of
from edge.terminal.live import LiveView
from edge.terminal.models import Certificate
from edge.terminal.people import age_and_sex, person_ref
from edge.terminal.views import SessionView, session_view
from edge.verifier.protocol import Verifier
from retention.pages.formats import day_of
from retention.records.people import AgeBand, Sex
from retention.store.database import NodeStore


class Metrics:
    """What /metrics counts. No label carries an id of a person or a session."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "countersight_decisions", "Identity decisions", ["method", "outcome"],
            registry=self.registry,
        )  # fmt: skip
        self.gate = Counter(
            "countersight_gate", "Answers of the settlement gate", ["answer"],
            registry=self.registry,
        )  # fmt: skip
        self.settlements = Counter(
            "countersight_settlements", "Settlements by end", ["mode", "outcome"],
            registry=self.registry,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parts:
    """The node's side of the API."""

    store: NodeStore
    service: SessionService
    verifier: Verifier
    verifier_answers: Callable[[], bool]
    settler: Settler | None
    config: EdgeConfig
    person_key: bytes = field(repr=False)
    # One person at a time is looked at by one camera; counters may share one.
    cameras_in_use: Mapping[str, threading.Lock] = field(init=False)
    metrics: Metrics = field(default_factory=Metrics)
    # What the verifier shows of a running attempt; None where no verifier process publishes.
    live: LiveView | None = None
    # What the watch shows of the cameras; None where no watch process publishes.
    cameras: CameraPictures | None = None
    room: RoomWatch = field(init=False)
    devices: Devices = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", RoomWatch(self.config, self.store))
        object.__setattr__(self, "devices", devices_of(self.config))
        locks = {camera.id: threading.Lock() for camera in self.config.cameras}
        object.__setattr__(self, "cameras_in_use", locks)

    def ref_of(self, certificate: Certificate) -> str:
        """Return the person_ref of a document; its number goes no further."""
        return person_ref(self.person_key, certificate.type, certificate.number)

    def age_and_sex_of(self, certificate: Certificate) -> tuple[AgeBand, Sex]:
        """Return what a document's number says of its holder, as coarse as it may be kept."""
        today = date.fromisoformat(day_of(self.store.clock.now()))
        return age_and_sex(certificate.type, certificate.number, today)

    def camera_of(self, counter: str) -> threading.Lock:
        """Return the lock of the camera that films the person at a counter."""
        return self.cameras_in_use[self.config.camera_of_counter(counter)]

    def any_camera_in_use(self) -> bool:
        """Say whether somebody is being looked at."""
        return any(lock.locked() for lock in self.cameras_in_use.values())

    def view(self, state: SessionState) -> SessionView:
        """Return a session's view as of now."""
        now = self.service.now(state)
        return session_view(state, now, self.service.terms, self.standing(state))

    def standing(self, state: SessionState) -> Standing:
        """Return what the node knows of the present subject."""
        return self.service.standing(state)


_BEARER = HTTPBearer(auto_error=False, description="The token from pairing")


def calling(
    request: Request,
    _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> Caller:
    """Return the terminal that the guard has recognised."""
    caller = request.scope["caller"]
    if not isinstance(caller, Caller):
        raise TypeError("the guard did not run")
    return caller
