"""Frames into one attempt, until it is complete, too late, or no longer wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.verifier.live import LivePublisher
from edge.verifier.protocol import LiveState
from hardware.cameras import FrameSource
from identity.attempt import Attempt, Progress
from retention.records.clock import Clock

FRAME_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the progress of an attempt is shown, and as whose."""

    live: LivePublisher
    session: str
    attempt: int


class Looker:
    """Looks through one camera. Used by one thread."""

    def __init__(
        self,
        frames: FrameSource,
        clock: Clock,
        stop: threading.Event,
        beat: Callable[[], None],
    ) -> None:
        self._frames, self._clock = frames, clock
        self._stop, self._beat = stop, beat

    def look(
        self,
        attempt: Attempt,
        *,
        nothing_seen: Progress,
        deadline_ns: Callable[[], int],
        shown: Shown | None = None,
        give_up: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Feed an attempt; return False when it was not wanted any more before it was complete.

        The camera is watched only meanwhile. The deadline is asked for at every frame, because a
        challenge extends it. What completes the attempt is decided on, not shown.
        """
        self._frames.resume()
        try:
            ordinal, seen = 0, nothing_seen
            while not seen.complete and self._clock.monotonic_ns() <= deadline_ns():
                if self._stop.is_set() or give_up():
                    return False
                self._beat()
                frame = self._frames.latest(ordinal, FRAME_SECONDS)
                if frame is not None:
                    ordinal, seen = frame.ordinal, attempt.observe(frame)
                if shown is not None and not seen.complete:
                    left = (deadline_ns() - self._clock.monotonic_ns()) / 1e9
                    pixels = None if frame is None else frame.pixels
                    shown.live.look(_live_state(shown, seen, max(0.0, left)), pixels)
            return True
        finally:
            self._frames.pause()


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
