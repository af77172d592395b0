"""How far the watch has come with every camera: what is not looked at must not pass for usable.

Live state, so it may be lost: one small file below DATA/run, replaced by rename and never synced.
It says when the newest picture that was judged was received, on the machine's monotonic clock: a
watch that is dead, hangs, lags or cannot decode what comes leaves it behind. Nothing written, or
written before the machine was started last, is nothing looked at.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from edge.config import EdgeConfig
from retention.records.clock import Clock
from retention.records.fields import Count, Frozen

REFRESH_SECONDS = 2.0
FRESH_SECONDS = 30.0
"""Key pictures may be ten seconds apart; the watch is started again within a few."""


class Looked(Frozen):
    """By camera: when the newest picture that was judged was received (monotonic nanoseconds of
    that boot)."""

    boot_id: str
    cameras: dict[str, Count]


@dataclass(slots=True)
class LookedNote:
    """The watch's side. `write` is called every step and writes every REFRESH_SECONDS."""

    path: Path
    clock: Clock
    _cameras: dict[str, int] = field(default_factory=dict)
    _due_ns: int = 0

    def judged(self, camera: str, received_ns: int) -> None:
        """A picture of the camera was judged."""
        self._cameras[camera] = received_ns

    def write(self) -> None:
        """Write it down when it is due. Raises OSError."""
        now_ns = self.clock.monotonic_ns()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + int(REFRESH_SECONDS * 1e9)
        looked = Looked(boot_id=self.clock.boot_id(), cameras=self._cameras)
        temporary = self.path.with_name(self.path.name + ".new")
        temporary.write_text(looked.model_dump_json())
        os.replace(temporary, self.path)


def looked_file(config: EdgeConfig) -> Path:
    """Return where the file lies."""
    return config.node.data / "run" / "looked.json"


def looked_at(config: EdgeConfig, clock: Clock) -> dict[str, int]:
    """Return by camera when its newest judged picture was received; nothing of an earlier boot."""
    try:
        found = Looked.model_validate_json(looked_file(config).read_bytes())
    except (OSError, ValidationError):
        return {}
    return found.cameras if found.boot_id == clock.boot_id() else {}


def is_looked_at(config: EdgeConfig, clock: Clock, camera: str) -> bool:
    """Tell whether a camera's pictures are being judged now."""
    at = looked_at(config, clock).get(camera)
    return at is not None and (clock.monotonic_ns() - at) / 1e9 < FRESH_SECONDS
