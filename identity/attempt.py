"""One attempt to verify one person: frames in, one decision out. No I/O, no thread, no device.

The order is fixed: exactly one dominant face that stays the same face, the quality gate, then
embeddings, liveness, similarity. The machine ends in ACCEPT, RETRY with one instruction, or REFER;
only a person rejects. It collects evidence and asks `identity.judge` for the verdict. Every fault
inside (an exception, a value that is not a number, a clock that ran backwards, a deadline) ends in
REFER; nothing but a complete attempt ends in ACCEPT.

A turn of the head is asked for only when the policy always wants it, or when the other signals
leave doubt about someone who may well be the person: who is lively by themselves is spared.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from hardware.camera_identity import CameraIdentity
from identity.attempt_evidence import AttemptEvidence, with_images_of
from identity.attempt_values import Decided, FaceFrame, Frame, Models, Progress
from identity.bands import Scale
from identity.calibration import LoadedCalibration
from identity.decision import Decision, Standing
from identity.endings import NS, blocked, decided_by_ns, latest_ns
from identity.faces import dominant
from identity.finder import FaceFinder
from identity.judge import judge
from identity.liveness.challenge import ChallengeRun
from identity.liveness.panel import Panel, is_grey, refusals, telling
from identity.liveness.signals import Verdict
from identity.looking import look_at, require_finite
from identity.policy import IdentityPolicy
from identity.quality import instruction, measure, score
from identity.references import Reference
from identity.track import FaceTrack, OtherPerson, RememberingEmbedder
from models.values import FaceDetection
from retention.records.clock import Clock

__all__ = ["Attempt", "Decided", "FaceFrame", "Frame", "Models", "Progress"]

_log = logging.getLogger(__name__)

_NS_PER_MS = 1_000_000
# How often a verdict is tried once there is enough for one, until it holds.
_ASSESS_EVERY_NS = 400 * _NS_PER_MS
# So long before the end, frames that are enough are all that is taken in: the rest is left to what
# has to be measured by then.
_LAST_LOOKS_NS = 500 * _NS_PER_MS
# While a turn is awaited these need no mending: a turned head is what was asked for.
_TURNING = frozenset({"POSE", "BLURRED", "UNEVEN_LIGHT", "EYES_COVERED", "MOUTH_COVERED"})
_SEED_BYTES = 16


def _never_seen(_: bytes) -> bool:
    return False


class Attempt:
    """A sans-I/O state machine for one attempt. Not shared between threads.

    `seed` are 16 random bytes from which a challenge follows; `seen_before` says of a frame's
    digest whether an earlier attempt showed it. When `enrolling`, there is no reference and
    nothing is compared: a capture that holds ends in REFER with REFERENCE_MISSING alone.

    Raises CalibrationMismatch, CalibrationOfMoreFrames or UnsupportedFalseMatchRate when it is made
    with a calibration of another model or a policy that the calibration cannot support: that is a
    wrong set-up, not a wrong person. A missing, expired or foreign reference is a decision (REFER).
    """

    def __init__(
        self,
        *,
        policy: IdentityPolicy,
        calibration: LoadedCalibration,
        reference: Reference | None,
        models: Models,
        clock: Clock,
        camera: CameraIdentity,
        seed: bytes,
        standing: Standing = "current",
        amount: Decimal | None = None,
        comparisons_before: int = 0,
        seen_before: Callable[[bytes], bool] = _never_seen,
        enrolling: bool = False,
    ) -> None:
        if len(seed) != _SEED_BYTES:
            raise ValueError("a seed has 16 bytes")
        calibration.values.require_contract(models.embedder.contract_id)
        scale = Scale.of(policy, calibration, standing, amount)
        self._policy, self._calibration, self._models = policy, calibration, models
        self._reference = None if enrolling else reference
        self._standing, self._amount, self._before = standing, amount, comparisons_before
        self._clock, self._camera, self._seed = clock, camera, seed
        self._seen_before, self._enrolling = seen_before, enrolling
        self._started_at, self._started_ns = clock.now(), clock.monotonic_ns()
        self._now_at, self._now_ns = self._started_at, self._started_ns
        self._person_threshold = scale.grey
        self._finder = FaceFinder(models.detector)
        self._embedder = RememberingEmbedder(models.embedder)
        self._replayed: set[bytes] = set()
        self._panel = Panel(
            limits=policy.liveness,
            camera=camera,
            passive=models.passive,
            seen_before=self._replayed.__contains__,
            reference_embedding=None if self._reference is None else self._reference.of_a_picture,
        )
        self._complete = self._fault = self._changed = self._clock_back = self._settling = False
        self._notes: Counter[str] = Counter()
        self._note: str | None = None
        self._looked = self._assessed_ns = self._used = 0
        self._last_ordinal, self._last_look_ns = -1, 0
        self._challenge: ChallengeRun | None = None
        self._track = self._new_track()
        self._guarded(self._stop_when_blocked)

    def deadline_ns(self) -> int:
        """Return until when looking can help, on the clock's monotonic time; a challenge moves it
        once."""
        return self._started_ns + latest_ns(self._policy, challenged=self._challenge is not None)

    def observe(self, frame: Frame) -> Progress:
        """Take one frame in. Frames that come too fast, twice or too late are passed over."""
        self._guarded(lambda: self._look(frame) if self._wants(frame) else None)
        stopped = self._complete or self._fault
        return Progress(self._note, self._used, self._policy.matching.frames, complete=stopped)

    def decide(self) -> Decided:
        """Return the decision on the frames seen so far. Never raises on what they contain."""
        made: list[Decided] = []
        self._guarded(lambda: made.append(self._judged_in_time()))
        if made and not self._fault:
            return made[0]
        evidence = self._counts().after_a_fault()
        return Decided(self._verdict(evidence), evidence)

    # -- looking at one frame ------------------------------------------------------------------

    def _stop_when_blocked(self) -> None:
        ending = blocked(
            self._reference,
            self._models.embedder.contract_id,
            self._started_at,
            self._policy,
            self._before,
        )
        self._complete = ending is not None and not self._enrolling

    def _wants(self, frame: Frame) -> bool:
        if self._complete or self._fault:
            return False
        self._read_clock()
        if self._clock_back or self._now_ns > self.deadline_ns() or self._track.is_full:
            self._complete = True
            return False
        # A frame from before the attempt, or the same frame again, is no evidence about now.
        stamped = self._started_ns <= frame.monotonic_ns <= self._now_ns
        fresh = stamped and frame.ordinal > self._last_ordinal
        due = self._last_look_ns + self._policy.attempt.look_every_ms * _NS_PER_MS
        return fresh and (self._looked == 0 or frame.monotonic_ns >= due)

    def _look(self, frame: Frame) -> None:
        self._last_ordinal, self._last_look_ns = frame.ordinal, frame.monotonic_ns
        self._looked += 1
        size = int(frame.pixels.shape[1]), int(frame.pixels.shape[0])
        faces = self._finder.find(frame.pixels)
        for face in faces:
            require_finite(face)
        found = dominant(faces, self._policy.faces, size)
        if isinstance(found, str):
            self._track.lose()
            self._remember(found)
        else:
            if not self._track.can_continue_with(found, frame.monotonic_ns):
                self._break_track()
            self._track.follow(found, frame.monotonic_ns)
            if not self._settling:
                self._take(found, frame, size)
        self._advance(frame.monotonic_ns - self._started_ns)

    def _take(self, face: FaceDetection, frame: Frame, size: tuple[int, int]) -> None:
        """Keep one frame of the face with all that may be needed of it."""
        models, offset = self._models, frame.monotonic_ns - self._started_ns
        anchor = self._track.anchor or face
        looked = look_at(frame.pixels, face, anchor, offset, models.embedder.align)
        if looked.aligned is None:
            raise ValueError("an aligned face is missing")
        quality = measure(looked.aligned, face, size)
        problem = instruction(quality, self._policy.quality, zone=self._policy.faces)
        if problem is None and models.passive is not None:
            looked = replace(looked, passive=models.passive.crops(frame.pixels, face))
        if self._seen_before(looked.pixels_digest):
            self._replayed.add(looked.pixels_digest)
        self._track.add(looked, score(quality) if problem is None else None)
        self._remember(problem)

    def _break_track(self) -> None:
        # Once a face was compared, another one may not take its place in the same attempt; nor may
        # it answer a challenge that was given to the first.
        self._changed = self._changed or self._track.has_compared or self._challenge is not None
        self._track = self._new_track()
        self._settling = False

    def _new_track(self) -> FaceTrack:
        return FaceTrack(self._policy, self._embedder, self._panel, self._person_threshold)

    def _remember(self, note: str | None) -> None:
        turning = self._challenge is not None and note in _TURNING
        self._note = None if turning else note
        if self._note is not None:
            self._notes[self._note] += 1

    # -- going on ------------------------------------------------------------------------------

    def _advance(self, now: int) -> None:
        """Work ahead, ask for a turn, and find out whether the attempt can end."""
        if not self._changed:
            try:
                self._turn(now)
                measured = self._track.work(self._challenge)
            except OtherPerson:
                self._break_track()
            else:
                self._end_or_go_on(now, measured=measured)
        self._complete = self._complete or self._changed
        self._used = self._track.embedded()

    def _end_or_go_on(self, now: int, *, measured: bool) -> None:
        if not self._is_worth_a_verdict(now):
            return
        # From here on frames are watched, but not taken in, until what counts is measured; while
        # a turn is awaited every frame is taken in.
        self._settling = not measured and not self._awaits_a_turn(now)
        if measured:
            self._assess(now)

    def _is_worth_a_verdict(self, now: int) -> bool:
        if not self._has_enough() or now < int(self._policy.attempt.minimum_seconds * NS):
            return False
        over = self._challenge is not None and not self._awaits_a_turn(now)
        due = now - self._assessed_ns >= _ASSESS_EVERY_NS
        return self._settling or over or due or self._is_late(now)

    def _awaits_a_turn(self, now: int) -> bool:
        run = self._challenge
        return run is not None and not run.is_over(self._track.frames, now)

    def _assess(self, now: int) -> None:
        """Try a verdict; without one that holds, go on, or ask for a turn."""
        self._assessed_ns = now
        verdict, limits = self._judged().decision, self._policy.liveness
        signals = verdict.evidence.liveness
        if not signals or not refusals(signals, limits):
            self._complete = True
        elif self._challenge is None and self._doubt_is_worth_a_turn(verdict, now):
            self._challenge = ChallengeRun.begin(self._seed, now, limits)
            self._show_the_turn(now)
        elif not self._awaits_a_turn(now):
            turned = any(s.name == "challenge" and s.verdict is Verdict.PASS for s in signals)
            refused = self._challenge is not None and not turned
            self._complete = refused or self._is_late(now)

    def _doubt_is_worth_a_turn(self, verdict: Decision, now: int) -> bool:
        """Return whether a turn could settle it: not for a stranger, and not while the other
        signals may still pass by themselves."""
        limits = self._policy.attempt
        patience = int((limits.minimum_seconds + limits.deadline_seconds) / 2 * NS)
        stranger = verdict.evidence.band == "below"
        grey = is_grey(verdict.evidence.liveness, self._policy.liveness)
        return grey and not stranger and (now >= patience or self._is_late(now))

    def _turn(self, now: int) -> None:
        """Begin the challenge that the policy always wants, or ask for the next turn."""
        limits, run = self._policy.liveness, self._challenge
        if run is not None:
            self._challenge = run.after(self._track.frames, now)
        elif limits.challenge == "always" and self._has_enough():
            self._challenge = ChallengeRun.begin(self._seed, now, limits)
        self._show_the_turn(now)

    def _show_the_turn(self, now: int) -> None:
        if self._challenge is not None and self._note is None:
            self._note = self._challenge.instruction(self._track.frames, now)

    def _has_enough(self) -> bool:
        return len(self._track.used()) >= self._policy.matching.frames

    def _is_late(self, now: int) -> bool:
        end = latest_ns(self._policy, challenged=self._challenge is not None)
        return now >= end - _LAST_LOOKS_NS

    # -- deciding ------------------------------------------------------------------------------

    def _judged_in_time(self) -> Decided:
        """Judge; and anew when meanwhile the deadline passed or a clock ran back, because a model
        that answers late must not decide about somebody who may have gone."""
        decided = self._judged()
        self._read_clock()
        challenged = self._challenge is not None
        late = self._now_ns - self._started_ns > decided_by_ns(self._policy, challenged=challenged)
        return self._judged() if late or self._clock_back else decided

    def _judged(self) -> Decided:
        self._read_clock()
        evidence = self._evidence()
        return Decided(self._verdict(evidence), evidence)

    def _verdict(self, evidence: AttemptEvidence) -> Decision:
        return judge(
            evidence,
            reference=self._reference,
            standing=self._standing,
            policy=self._policy,
            calibration=self._calibration,
            embedder=self._embedder,
            passive=self._models.passive,
            amount=self._amount,
            comparisons_before=self._before,
            panel=self._panel,
            enrolling=self._enrolling,
        )

    def _evidence(self) -> AttemptEvidence:
        frames, used = self._track.frames, self._track.used()
        return replace(
            self._counts(),
            frames=with_images_of(frames, telling(frames, self._challenge), used),
            used=used,
            replayed=tuple(sorted(self._replayed)),
            challenge=self._challenge,
        )

    def _counts(self) -> AttemptEvidence:
        return AttemptEvidence(
            started_at=self._started_at,
            decided_at=max(self._now_at, self._started_at),
            elapsed_ns=self._now_ns - self._started_ns,
            camera=self._camera,
            frames=(),
            used=(),
            looked=self._looked,
            notes=tuple(sorted(self._notes.items())),
            replayed=(),
            challenge=None,
            changed=self._changed,
            clock_back=self._clock_back,
            fault=False,
            amount=self._amount,
            comparisons_before=self._before,
            standing=self._standing,
        )

    # -- shared --------------------------------------------------------------------------------

    def _read_clock(self) -> None:
        at, ns = self._clock.now(), self._clock.monotonic_ns()
        self._clock_back = self._clock_back or at < self._now_at or ns < self._now_ns
        self._now_at, self._now_ns = at, ns

    def _guarded(self, step: Callable[[], object]) -> None:
        """Run a step; whatever it raises makes the attempt end in REFER INTERNAL_ERROR."""
        try:
            step()
        except Exception as exc:  # noqa: BLE001 - translated: the attempt fails closed
            # Only the type is logged: messages of foreign libraries may carry values.
            _log.error("attempt_fault type=%s", type(exc).__name__)
            self._fault = True
