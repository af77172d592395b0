"""Looking at one person through one camera: frames into an attempt, until it is complete, too
late, or no longer wanted.

Nobody is looked at who may not be: no child, no locked credential, nobody without a reference that
opens. The camera is watched only meanwhile.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from edge.config import EdgeConfig
from edge.verifier.live import LivePublisher
from edge.verifier.method import FaceMethod
from edge.verifier.protocol import LiveState
from edge.verifier.recent import RecentPictures
from edge.verifier.references import find_reference
from hardware.camera_identity import CameraIdentity
from hardware.frames import FrameSource
from identity.attempt import Attempt, Progress
from identity.decision import Decision, Outcome
from identity.evidence import AttemptEvidence
from identity.policy import IdentityPolicy
from retention.records.people import AgeBand
from retention.store import face_locks
from retention.store.database import NodeStore

FRAME_SECONDS = 0.5
SEED_BYTES = 16
CHILD: AgeBand = "under_14"


def never() -> bool:
    """Give nothing up."""
    return False


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that people are looked at through; `stop` and `beat` are its worker's."""

    id: str
    identity: CameraIdentity
    frames: FrameSource
    stop: threading.Event
    beat: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the progress of an attempt is shown, and as whose."""

    live: LivePublisher
    session: str
    attempt: int


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What came of an attempt, and what it rests on (None: nobody was looked at); `complete` is
    false when it was given up before its end."""

    decision: Decision
    evidence: AttemptEvidence | None
    complete: bool


class Looker:
    """Runs attempts at one camera. Used by one thread."""

    def __init__(
        self,
        config: EdgeConfig,
        store: NodeStore,
        method: FaceMethod,
        camera: Camera,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store, self._clock, self._method = store, store.clock, method
        self._camera, self._random_bytes = camera, random_bytes
        self._keys, self._recent = config.reference_keys(), RecentPictures()

    def look(
        self,
        policy: IdentityPolicy,
        person_ref: str,
        age_band: AgeBand,
        *,
        amount: Decimal | None = None,
        comparisons_before: int = 0,
        shown: Shown | None = None,
        give_up: Callable[[], bool] = never,
    ) -> Looked:
        """Compare whoever is there with one person. Raises StoreUnavailable, KeyRefused."""
        if age_band == CHILD:
            return self._not_looked(policy, "CHILD_NO_FACE")
        with self._store.read() as connection:
            if face_locks.is_locked(connection, person_ref):
                return self._not_looked(policy, "FACE_LOCKED")
        reference = find_reference(self._store, self._keys, person_ref)
        if reference is None:
            return self._not_looked(policy, "REFERENCE_MISSING")
        attempt = Attempt(
            policy=policy,
            calibration=self._method.calibration,
            reference=reference,
            standing=reference.standing(self._clock.now(), policy.reference),
            models=self._method.models,
            clock=self._clock,
            camera=self._camera.identity,
            seed=self._random_bytes(SEED_BYTES),
            amount=amount,
            comparisons_before=comparisons_before,
            seen_before=self._recent.__contains__,
        )
        return self._run(attempt, policy, shown, give_up)

    def capture(self, policy: IdentityPolicy, shown: Shown | None = None) -> Looked:
        """Look at whoever is there and compare with nothing; when the capture and its liveness
        hold, the only reason is REFERENCE_MISSING."""
        attempt = Attempt(
            policy=policy,
            calibration=self._method.calibration,
            reference=None,
            models=self._method.models,
            clock=self._clock,
            camera=self._camera.identity,
            seed=self._random_bytes(SEED_BYTES),
            seen_before=self._recent.__contains__,
            enrolling=True,
        )
        return self._run(attempt, policy, shown, never)

    def _run(
        self,
        attempt: Attempt,
        policy: IdentityPolicy,
        shown: Shown | None,
        give_up: Callable[[], bool],
    ) -> Looked:
        nothing_seen = Progress(None, 0, policy.matching.frames, complete=False)
        self._camera.frames.resume()
        try:
            complete = self._feed(attempt, nothing_seen, shown, give_up)
        finally:
            self._camera.frames.pause()
            if shown is not None:
                shown.live.ended(shown.session, shown.attempt)
        decided = attempt.decide()
        self._recent.add(frame.pixels_digest for frame in decided.evidence.frames)
        return Looked(decided.decision, decided.evidence, complete)

    def _feed(
        self,
        attempt: Attempt,
        seen: Progress,
        shown: Shown | None,
        give_up: Callable[[], bool],
    ) -> bool:
        """Feed an attempt; return False when it was not wanted any more before it was complete.

        The deadline is asked for at every frame, because a challenge extends it. What completes
        the attempt is decided on, not shown.
        """
        camera, clock, ordinal = self._camera, self._clock, 0
        while not seen.complete and clock.monotonic_ns() <= attempt.deadline_ns():
            if camera.stop.is_set() or give_up():
                return False
            camera.beat()
            frame = camera.frames.latest(ordinal, FRAME_SECONDS)
            if frame is not None:
                ordinal, seen = frame.ordinal, attempt.observe(frame)
            if shown is not None and not seen.complete:
                left = (attempt.deadline_ns() - clock.monotonic_ns()) / 1e9
                pixels = None if frame is None else frame.pixels
                shown.live.look(_live_state(shown, seen, max(0.0, left)), pixels)
        return True

    def _not_looked(self, policy: IdentityPolicy, reason: str) -> Looked:
        now = self._clock.now()
        decision = Decision(
            outcome=Outcome.REFER,
            reasons=(reason,),
            policy_name=policy.name,
            policy_digest=policy.digest,
            started_at=now,
            decided_at=now,
        )
        return Looked(decision, None, complete=True)


def _live_state(shown: Shown, seen: Progress, seconds_left: float) -> LiveState:
    return LiveState(
        state="looking",
        session=shown.session,
        attempt=shown.attempt,
        instruction=seen.instruction,
        frames_used=seen.frames_used,
        frames_wanted=seen.frames_wanted,
        seconds_left=round(seconds_left, 1),
    )
