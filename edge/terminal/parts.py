"""What the routes are built from, passed in once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CollectorRegistry, Counter

from edge.config import EdgeConfig
from edge.room import RoomWatch
from edge.session.service import Caller, SessionService
from edge.session.settling import Settler
from edge.session.state import SessionState
from edge.terminal.cameras import CameraPictures
from edge.terminal.live import LiveView
from edge.terminal.models import Certificate
from edge.terminal.people import person_ref
from edge.terminal.views import SessionView, session_view
from edge.verifier.protocol import Verifier
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
    # One person at a time is looked at by one camera.
    camera: threading.Lock = field(default_factory=threading.Lock)
    metrics: Metrics = field(default_factory=Metrics)
    # What the verifier shows of a running attempt; None where no verifier process publishes.
    live: LiveView | None = None
    # What the watch shows of the cameras; None where no watch process publishes.
    cameras: CameraPictures | None = None
    room: RoomWatch = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", RoomWatch(self.config, self.store))

    def ref_of(self, certificate: Certificate) -> str:
        """Return the person_ref of a document; its number goes no further."""
        return person_ref(self.person_key, certificate.type, certificate.number)

    def view(self, state: SessionState) -> SessionView:
        """Return a session's view as of now."""
        now = self.service.now(state)
        return session_view(state, now, self.service.terms, self.enrolled(state))

    def enrolled(self, state: SessionState) -> bool:
        """Say whether the present subject has a reference to compare with."""
        return self.service.has_reference(state.subject[0])


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
