"""How far a long check is, and where one that was broken off stood.

The state lives in a file outside the data folder, for the check only reads there. It names the
database it belongs to; one of another database is refused, one of a finished check begins anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TextIO

from pydantic import Field, ValidationError

from retention.checking.report import MOST_FINDINGS, Bad
from retention.durable import write_durably
from retention.records.errors import UsageError
from retention.records.fields import Frozen, Id

SAVE_SECONDS = 5.0
SHOW_SECONDS = 0.5
SHOW_SECONDS_IN_A_FILE = 10.0
GIGABYTE = 1_000_000_000


class ResumeRefused(UsageError):
    """The state of another check, or one that cannot be kept where it was asked."""


class _Found(Frozen):
    check: str
    subject: str
    detail: str


class _State(Frozen):
    format: Literal[1] = 1
    database_id: Id
    done: bool
    after: int = Field(ge=-1)
    hashed: int = Field(ge=0)
    bad: tuple[_Found, ...]


class Resume:
    """Where the reading of files stands; without a path it is only counted."""

    def __init__(
        self,
        database_id: str,
        path: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the state of an earlier check, if there is one. Raises ResumeRefused."""
        self._database_id, self._path, self._monotonic = database_id, path, monotonic
        self.after, self.hashed = -1, 0
        self.bad: list[Bad] = []
        self._saved_at = monotonic()
        self._done = False
        if path is not None and path.exists():
            self._read(path)

    def note(self, sequence: int, found: list[Bad]) -> None:
        """Remember that the file of the segment at `sequence` was read."""
        self.hashed += 1
        self.bad += found[: MOST_FINDINGS - len(self.bad)]
        self.pass_by(sequence)

    def pass_by(self, sequence: int) -> None:
        """Remember that there was nothing to read at `sequence`."""
        self.after = sequence
        if self._monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def finish(self) -> None:
        self._done = True
        self.save()

    def save(self) -> None:
        """Write the state down. Raises ResumeRefused."""
        self._saved_at = self._monotonic()
        if self._path is None:
            return
        state = _State(
            database_id=self._database_id,
            done=self._done,
            after=self.after,
            hashed=self.hashed,
            bad=tuple(_Found(check=b.check, subject=b.subject, detail=b.detail) for b in self.bad),
        )
        try:
            write_durably(self._path, state.model_dump_json().encode() + b"\n")
        except OSError as exc:
            raise ResumeRefused(f"{self._path}: {exc.strerror}") from exc

    def _read(self, path: Path) -> None:
        try:
            state = _State.model_validate(json.loads(path.read_bytes()))
        except (OSError, ValueError, ValidationError) as exc:
            reason = str(exc).splitlines()[0]
            raise ResumeRefused(f"{path}: not the state of a check: {reason}") from exc
        if state.database_id != self._database_id:
            raise ResumeRefused(f"{path}: of a check of database {state.database_id}")
        if not state.done:
            self.after, self.hashed = state.after, state.hashed
            self.bad = [Bad(found.check, found.subject, found.detail) for found in state.bad]


class Meter:
    """Says how far the reading is, on a terminal in one line, elsewhere a line now and then."""

    def __init__(
        self, stream: TextIO | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream, self._monotonic = stream, monotonic
        self._live = stream is not None and stream.isatty()
        self._every = SHOW_SECONDS if self._live else SHOW_SECONDS_IN_A_FILE
        self._began = self._shown_at = monotonic()
        self._segments = self._bytes = self._of_segments = self._of_bytes = 0

    def begin(self, segments: int, size: int) -> None:
        """Tell how much there is to read."""
        self._of_segments, self._of_bytes = segments, size
        self._began = self._monotonic()

    def step(self, size: int) -> None:
        """Count one segment that is about to be read."""
        now = self._monotonic()
        if self._stream is not None and now - self._shown_at >= self._every:
            self._shown_at = now
            self._show(now)
        self._segments += 1
        self._bytes += size

    def end(self) -> None:
        if self._stream is not None and self._of_segments:
            self._show(self._monotonic())
            if self._live:
                self._stream.write("\n")

    def _show(self, now: float) -> None:
        if self._stream is None:
            return
        line = (
            f"{self._segments}/{self._of_segments} 段 / segments, "
            f"{self._bytes / GIGABYTE:.2f}/{self._of_bytes / GIGABYTE:.2f} GB, {self._left(now)}"
        )
        self._stream.write(f"\r{line}\x1b[K" if self._live else f"{line}\n")
        self._stream.flush()

    def _left(self, now: float) -> str:
        if not self._bytes or now <= self._began:
            return "剩余时间未知 / time left not known yet"
        seconds = int((self._of_bytes - self._bytes) * (now - self._began) / self._bytes)
        hours, minutes = divmod(max(0, seconds) // 60, 60)
        return f"剩余 / left {hours}:{minutes:02d}:{seconds % 60:02d}"
