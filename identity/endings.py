"""How an attempt ends before anything is compared: the steps that come first, in their order.

There is nothing to compare with, a clock or the deadline speaks against it, or what was captured is
not enough of one and the same face. Pure over the evidence, as the verdict is.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from identity.attempt_evidence import AttemptEvidence
from identity.decision import Outcome
from identity.looked import LookedFrame
from identity.policy import IdentityPolicy
from identity.quality import FaceQuality, instruction, measure
from identity.references import Reference

NS = 1_000_000_000
_NS_PER_MS = 1_000_000
# The share of looked-at frames with several faces from which on they are the answer.
_SEVERAL_SHARE = 0.25

Ending = tuple[Outcome, tuple[str, ...]]


def latest_ns(policy: IdentityPolicy, *, challenged: bool) -> int:
    """Return when looking ends, in nanoseconds after the beginning: a challenge extends it once."""
    seconds = policy.attempt.deadline_seconds
    if challenged:
        seconds += policy.liveness.challenge_seconds * policy.liveness.challenge_turns
    return int(seconds * NS)


def decided_by_ns(policy: IdentityPolicy, *, challenged: bool) -> int:
    """Return when a decision comes too late, in nanoseconds after the beginning."""
    after_looking = int(policy.attempt.decide_within_seconds * NS)
    return latest_ns(policy, challenged=challenged) + after_looking


def blocked(
    reference: Reference | None,
    contract_id: str,
    started_at: datetime,
    policy: IdentityPolicy,
    comparisons_before: int,
) -> Ending | None:
    """Return the ending of an attempt that need not be looked at, or None."""
    if reference is None:
        return Outcome.REFER, ("REFERENCE_MISSING",)
    if reference.terms.contract_id != contract_id:
        return Outcome.REFER, ("CONTRACT_MISMATCH",)
    if started_at >= reference.terms.expires_at:
        return Outcome.REFER, ("REFERENCE_EXPIRED",)
    if comparisons_before >= policy.transaction.comparisons:
        return Outcome.REFER, ("ATTEMPTS_EXHAUSTED",)
    return None


def of_the_capture(found: AttemptEvidence, policy: IdentityPolicy) -> Ending | None:
    """Return how an attempt ends whose capture does not do, by the first step that says so."""
    # (1) clocks that only went forward, and a decision in time
    if found.clock_back or not _in_time_order(found):
        answer = "INTERNAL_ERROR" if found.challenge is None else "CHALLENGE_FAILED"
        return Outcome.REFER, (answer,)
    if found.elapsed_ns > decided_by_ns(policy, challenged=found.challenge is not None):
        return Outcome.REFER, ("DEADLINE",)
    # (2) frames, with one and the same dominant face
    if found.looked == 0:
        return Outcome.REFER, ("CAMERA_UNAVAILABLE",)
    if dict(found.notes).get("MULTIPLE_FACES", 0) > _SEVERAL_SHARE * found.looked:
        return Outcome.RETRY, ("MULTIPLE_FACES",)
    if found.changed:
        return Outcome.RETRY, ("FACE_CHANGED",)
    # (3) enough frames of good quality, over no less than the shortest attempt
    return None if _is_enough(found, policy) else _incomplete(found)


def quality_in(frame: LookedFrame) -> FaceQuality | None:
    """Return the measures of a looked-at frame; None of one whose aligned face was not kept."""
    if frame.aligned is None:
        return None
    return measure(frame.aligned, frame.face, frame.frame_size)


def _is_enough(found: AttemptEvidence, policy: IdentityPolicy) -> bool:
    limits = policy.attempt
    used = [found.frames[index] for index in found.used]
    apart = limits.embed_every_ms * _NS_PER_MS
    return (
        len(used) == policy.matching.frames
        and found.elapsed_ns >= int(limits.minimum_seconds * NS)
        and all(b.offset_ns - a.offset_ns >= apart for a, b in pairwise(used))
        and all(_passes(frame, policy) for frame in used)
    )


def _passes(frame: LookedFrame, policy: IdentityPolicy) -> bool:
    quality = quality_in(frame)
    if quality is None:
        return False
    return instruction(quality, policy.quality, zone=policy.faces) is None


def _incomplete(found: AttemptEvidence) -> Ending:
    """Return RETRY with what was in the way most often; of equals the first by code."""
    if not found.notes:
        return Outcome.REFER, ("DEADLINE",)
    return Outcome.RETRY, (max(found.notes, key=lambda note: note[1])[0],)


def _in_time_order(found: AttemptEvidence) -> bool:
    """Return whether the frames lie one after another within the attempt."""
    times = [0, *(frame.offset_ns for frame in found.frames), found.elapsed_ns]
    apart = all(a.offset_ns < b.offset_ns for a, b in pairwise(found.frames))
    return apart and all(a <= b for a, b in pairwise(times))
