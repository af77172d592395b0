"""The pharmacist on duty, in the verifier: signing in by face, and looking again now and then.

Only whoever signed in by face is looked for, one to one, with their own reference under their own
consent, by the camera that films their place. There is no search: nobody else's reference is
opened, and who else is in view is nobody. A look gives way to a customer's check, and what is
learned is one of a few reason codes: no picture, no score, no embedding leaves the look.
"""

from __future__ import annotations

import random
import sqlite3
from typing import Protocol

import structlog

from edge.config import EdgeConfig
from edge.duty import apply, lapse, pharmacist_ref, standing_of
from edge.verifier.duty_protocol import DutyLooked, SignInByFace
from edge.verifier.method import FaceMethodOff
from edge.verifier.protocol import DutyRequest
from identity import presence
from identity.decision import Decision, Outcome
from identity.presence import Looked, Restarted, Uniform
from retention.keyfiles import KeyRefused
from retention.records.fields import Frozen
from retention.store import duty, people
from retention.store.database import NodeStore
from retention.store.duty import DutyRow

log = structlog.get_logger()
STEP_NS = 1_000_000_000
GAVE_WAY_SECONDS = 10.0
"""When to look again after a customer came first."""
TRIES, TRIES_WITHIN_NS = 2, 3_600_000_000_000
"""How often somebody may be compared in vain for a sign-in, and in what time: every comparison is
one more chance for a stranger. Whom the camera does not know has their own secret. Suspected
attacks are counted by `retention.store.face_locks`."""

# What a look says by its reasons; everything else is unsure.
NOT_THEM = frozenset({"NO_FACE", "MISMATCH", "INCONCLUSIVE", "MULTIPLE_FACES", "FACE_CHANGED"})
NOT_ALIVE = frozenset(
    {"PLANAR_MOTION", "REPLAYED_FRAMES", "PASSIVE_SPOOF", "CHALLENGE_FAILED", "VIRTUAL_CAMERA"}
)


class Looker(Protocol):
    """The worker of one camera, as much of it as is needed here."""

    @property
    def camera(self) -> str: ...

    @property
    def config(self) -> EdgeConfig: ...

    @property
    def store(self) -> NodeStore: ...

    def look(self, person_ref: str, counter: str, *, gives_way: bool = False) -> Decision | None:
        """Look at whoever is in view, one to one. None: not looked to the end. A suspected attack
        is recorded before it returns. Raises FaceMethodOff, KeyRefused, StoreUnavailable."""
        ...


def camera_of(config: EdgeConfig, counter: str) -> str:
    """Return the camera that films the place of a counter's pharmacist."""
    return config.presence.camera or config.camera_of_counter(counter)


class DutyWatch:
    """Looks after those on duty in view of one camera. Used by that camera's worker alone."""

    def __init__(self, worker: Looker, uniform: Uniform | None = None) -> None:
        self._worker, self._store = worker, worker.store
        self._limits = worker.config.presence
        self._key = worker.config.keys().secret("person")
        self._uniform = uniform or random.SystemRandom().uniform
        self._due_ns: dict[str, int] = {}
        self._in_vain_ns: dict[str, list[int]] = {}
        self._stepped_ns: int | None = None

    # -- asked by the terminal --------------------------------------------------------------------

    def answer(self, request: DutyRequest) -> Frozen:
        """Carry out one request. Raises StoreUnavailable."""
        if not isinstance(request, SignInByFace):
            raise TypeError(f"{type(request).__name__} is no request of this module")
        with self._store.read() as connection:
            known = duty.is_credential(connection, request.pharmacist)
        if not known:
            return DutyLooked(accepted=False, reasons=("PHARMACIST_REFUSED",))
        if len(self._tries(request.pharmacist)) >= TRIES:
            return DutyLooked(accepted=False, reasons=("ATTEMPTS_EXHAUSTED",))
        looked, decision = self._look(request.pharmacist, request.counter, gives_way=False)
        if looked is None:
            return DutyLooked(accepted=False, reasons=("VERIFIER_UNAVAILABLE",))
        if looked.result == "seen":
            looked = self._sign_in(request, looked, decision)
            self._in_vain_ns.pop(request.pharmacist, None)
        elif looked.result == "not_seen" and _compared(decision):
            self._tries(request.pharmacist).append(self._store.clock.monotonic_ns())
        log.info("duty_asked", accepted=looked.result == "seen", reasons=looked.reasons)
        return DutyLooked(accepted=looked.result == "seen", reasons=looked.reasons)

    def _tries(self, pharmacist: str) -> list[int]:
        """Return when a pharmacist was compared in vain of late, for a sign-in."""
        since = self._store.clock.monotonic_ns() - TRIES_WITHIN_NS
        recent = [at for at in self._in_vain_ns.get(pharmacist, ()) if at > since]
        self._in_vain_ns[pharmacist] = recent
        return recent

    def _sign_in(self, request: SignInByFace, looked: Looked, decision: Decision | None) -> Looked:
        with self._store.write() as connection:
            looked = self._if_still_permitted(connection, request.pharmacist, looked, decision)
            row = duty.read(connection, request.pharmacist)
            if looked.result != "seen":
                return looked
            if row is not None and row.counter == request.counter:
                apply(self._store, connection, row, looked, self._limits)
            else:
                duty.sign_in(
                    self._store,
                    connection,
                    request.pharmacist,
                    request.counter,
                    "face",
                    looked.reasons,
                )
        self._due_ns.pop(request.pharmacist, None)
        return looked

    # -- by itself --------------------------------------------------------------------------------

    def step(self) -> None:
        """Do what is due, at most one look. Raises StoreUnavailable."""
        now_ns = self._store.clock.monotonic_ns()
        first = self._stepped_ns is None
        if self._stepped_ns is not None and now_ns - self._stepped_ns < STEP_NS:
            return
        self._stepped_ns = now_ns
        if first:
            self._doubt()
        lapse(self._store, self._limits)
        rows = self._looked_for()
        self._plan(rows, now_ns, first=first)
        due = [row for row in rows if self._due_ns[row.pharmacist] <= now_ns]
        if due:
            self._recheck(min(due, key=lambda row: self._due_ns[row.pharmacist]))

    def _doubt(self) -> None:
        """Nobody was looked at while we were not running."""
        for row in self._looked_for():
            with self._store.write() as connection:
                again = duty.read(connection, row.pharmacist)
                if again is not None:
                    apply(self._store, connection, again, Restarted(), self._limits)

    def _looked_for(self) -> list[DutyRow]:
        config, camera, clock = self._worker.config, self._worker.camera, self._store.clock
        with self._store.read() as connection:
            return [
                row
                for row in duty.on_duty(connection)
                if camera_of(config, row.counter) == camera
                and presence.is_looked_for(standing_of(row, clock))
                and duty.is_credential(connection, row.pharmacist)
            ]

    def _plan(self, rows: list[DutyRow], now_ns: int, *, first: bool) -> None:
        here = {row.pharmacist for row in rows}
        self._due_ns = {who: due for who, due in self._due_ns.items() if who in here}
        for row in rows:
            if row.pharmacist not in self._due_ns:
                self._due_ns[row.pharmacist] = now_ns if first else self._next_ns(row)

    def _next_ns(self, row: DutyRow) -> int:
        standing = standing_of(row, self._store.clock)
        seconds = presence.next_look_seconds(standing, self._limits, self._uniform)
        return self._store.clock.monotonic_ns() + int(seconds * 1e9)

    def _recheck(self, row: DutyRow) -> None:
        """Look again at one of those on duty, and let it count if nothing changed meanwhile."""
        looked, decision = self._look(row.pharmacist, row.counter, gives_way=True)
        if looked is None:
            soon_ns = int(GAVE_WAY_SECONDS * 1e9)
            self._due_ns[row.pharmacist] = self._store.clock.monotonic_ns() + soon_ns
            return
        with self._store.write() as connection:
            again = duty.read(connection, row.pharmacist)
            same = again is not None and again.signed_in_at == row.signed_in_at
            if again is not None and same and again.method == row.method:
                if looked.result == "seen":
                    looked = self._if_still_permitted(connection, row.pharmacist, looked, decision)
                apply(self._store, connection, again, looked, self._limits)
                again = duty.read(connection, row.pharmacist)
        log.info("duty_looked", result=looked.result, reasons=looked.reasons)
        if again is None:
            self._due_ns.pop(row.pharmacist, None)
        else:
            self._due_ns[row.pharmacist] = self._next_ns(again)

    # -- one look ---------------------------------------------------------------------------------

    def _look(
        self, pharmacist: str, counter: str, *, gives_way: bool
    ) -> tuple[Looked | None, Decision | None]:
        """Return what one look says, and the decision that says it."""
        try:
            decision = self._worker.look(
                pharmacist_ref(self._key, pharmacist), counter, gives_way=gives_way
            )
        except (FaceMethodOff, KeyRefused) as exc:
            log.error("duty_not_looked", reason=str(exc))
            return Looked("unsure", ("VERIFIER_UNAVAILABLE",)), None
        return None if decision is None else said_by(decision), decision

    def _if_still_permitted(
        self,
        connection: sqlite3.Connection,
        pharmacist: str,
        looked: Looked,
        decision: Decision | None,
    ) -> Looked:
        """A consent withdrawn or a credential revoked while we looked: it counts for nothing."""
        if not duty.is_credential(connection, pharmacist):
            return Looked("unsure", ("PHARMACIST_REFUSED",))
        person_ref = pharmacist_ref(self._key, pharmacist)
        row = people.latest_reference(connection, person_ref, self._store.clock.now())
        if row is None or decision is None or row.id != decision.reference_id:
            return Looked("unsure", ("NO_CONSENT",))
        return looked


def _compared(decision: Decision | None) -> bool:
    return decision is not None and decision.evidence.comparison_score is not None


def said_by(decision: Decision) -> Looked:
    """Return what a decision says about presence. Only an ACCEPT, liveness passed, is `seen`."""
    reasons = decision.reasons[:4]
    if decision.outcome is Outcome.ACCEPT:
        return Looked("seen", reasons)
    if NOT_ALIVE & set(decision.reasons):
        return Looked("suspected", reasons)
    return Looked("not_seen" if NOT_THEM & set(decision.reasons) else "unsure", reasons)
