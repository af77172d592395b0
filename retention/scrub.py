"""Scrubbing: every segment is read again from its disk and compared with its record, for ever.

In the background, within `bytes_per_second` (a token bucket on the monotonic clock), in the order
of the records, so what was verified longest ago comes next. It goes on after a restart where it
was. What is read is dropped from the page cache before, so that the disk answers and not memory,
and after, so that the cache stays with what the pharmacy needs. SHA-256 of the whole file is
enough: the chunk root was computed from the same bytes.

    file gone                  incident FOOTAGE_MISSING
    other bytes                incident FOOTAGE_CHANGED
    cannot be read             incident UNREADABLE_FILE
Each with the alarm SCRUB_BROKEN of its volume, which ends with the first round that finds nothing
broken. Nothing is moved, repaired or deleted. A volume out of reach is passed over: nothing is said
of its files.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from retention.footage.layout import on_volume, shown
from retention.footage.volumes import VolumeMissing, Volumes
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.keeping import FootageScrubbed
from retention.store import footage, scrubs
from retention.store.alarms import Alarm, clear_alarm, open_alarms, raise_alarm
from retention.store.database import NodeStore
from retention.store.footage import SegmentRow
from retention.store.log import append
from retention.store.scrubs import OVER, Round

if TYPE_CHECKING:
    from hashlib import _Hash

READ_BYTES, LEAST_READ_BYTES = 1024 * 1024, 64 * 1024
BURST_SECONDS = 2.0
STEP_SECONDS = 0.25
"""A step takes no longer than about this, whatever the budget allows."""
SAVED_SECONDS = 60.0
ROUND_SECONDS = 86_400
"""Rounds begin no more often: a small disk would be read all day."""
_GONE = {errno.ENOENT, errno.ENOTDIR}

log = structlog.get_logger()


@dataclass(slots=True)
class _Open:
    """The file that is being read."""

    row: SegmentRow
    descriptor: int
    digest: _Hash = field(default_factory=hashlib.sha256)
    read: int = 0


class Scrub:
    """Call `step` often; each call reads what the budget has room for."""

    def __init__(self, store: NodeStore, volumes: Volumes, bytes_per_second: int) -> None:
        self._store, self._volumes, self._rate = store, volumes, bytes_per_second
        self._piece = min(READ_BYTES, max(LEAST_READ_BYTES, bytes_per_second))
        self._tokens = 0.0
        self._filled_ns = self._saved_ns = store.clock.monotonic_ns()
        self._open: _Open | None = None
        self._round: Round | None = None
        self._end = 0
        self._unread: set[str] = set()
        """Volumes that were out of reach at some time of this round."""

    def step(self, beat: Callable[[], None] = lambda: None) -> int:
        """Read on within the budget; returns how many bytes. Raises StoreUnavailable, OSError."""
        if not self._rate:
            return 0
        began_ns = self._fill()
        done = 0
        while self._tokens >= self._piece and self._goes_on():
            done += self._read()
            beat()
            if self._store.clock.monotonic_ns() - began_ns > STEP_SECONDS * 1e9:
                break
        return done

    def close(self) -> None:
        """Let the open file go; the next start reads it from its beginning."""
        if self._open is not None:
            os.close(self._open.descriptor)
            self._open = None

    # -- the budget -------------------------------------------------------------------------------

    def _fill(self) -> int:
        now_ns = self._store.clock.monotonic_ns()
        most = max(self._rate * BURST_SECONDS, self._piece)
        gained = (now_ns - self._filled_ns) / 1e9 * self._rate
        self._tokens, self._filled_ns = min(most, self._tokens + gained), now_ns
        return now_ns

    # -- the round --------------------------------------------------------------------------------

    def _goes_on(self) -> bool:
        """Turn to the next segment unless a file is open; False when nothing is to be read now."""
        if self._open is not None:
            return True
        round_ = self._running()
        if round_ is None:
            return False
        found = self._volumes.look()
        self._unread |= {volume.name for volume in found if not volume.reachable}
        reachable = [volume.name for volume in found if volume.reachable]
        with self._store.read() as connection:
            row = scrubs.next_segment(connection, round_.next_sequence, self._end, reachable)
        if row is None:
            self._finish(round_)
            return False
        self._begin(row)
        return True

    def _running(self) -> Round | None:
        """Return the round that runs, a new one if it is time; None while it is not."""
        if self._round is not None and not self._round.over:
            return self._round
        now = to_micros(self._store.clock.now())
        with self._store.read() as connection:
            found = self._round or scrubs.current(connection)
            self._end = scrubs.log_size(connection)
        if found is None or found.over:
            # A clock that was set back does not stop the rounds.
            if found is not None and abs(now - found.started_at) < ROUND_SECONDS * 1_000_000:
                self._round = found
                return None
            found = Round(now)
            self._unread.clear()
        self._round = found
        return found

    def _finish(self, round_: Round) -> None:
        now = self._store.clock.now()
        self._round = replace(round_, next_sequence=OVER)
        with self._store.write() as connection:
            scrubs.save(connection, self._round)
            if not round_.broken:
                self._clear(connection)
            if round_.segments:
                said = FootageScrubbed(
                    started_at=to_text(from_micros(round_.started_at)),
                    ended_at=to_text(now),
                    segments=round_.segments,
                    bytes=round_.bytes,
                    broken=round_.broken,
                )
                append(self._store, connection, said)
        log.info("footage_scrubbed", segments=round_.segments, broken=round_.broken)

    def _clear(self, connection: sqlite3.Connection) -> None:
        for one in open_alarms(connection):
            if one.alarm == Alarm.SCRUB_BROKEN and one.subject not in self._unread:
                clear_alarm(self._store, connection, one.alarm, one.subject)

    # -- one file ---------------------------------------------------------------------------------

    def _begin(self, row: SegmentRow) -> None:
        try:
            path = self._volumes.path_of(row)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except VolumeMissing:
            self._pass(row)  # It went since the volumes were looked at.
        except OSError as exc:
            self._refused(row, exc)
        else:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            self._open = _Open(row, descriptor)

    def _read(self) -> int:
        found = self._open
        if found is None:
            return 0
        try:
            raw = os.read(found.descriptor, self._piece)
        except OSError as exc:
            self.close()
            self._refused(found.row, exc)
            return 0
        self._tokens -= len(raw)
        found.digest.update(raw)
        os.posix_fadvise(found.descriptor, found.read, len(raw), os.POSIX_FADV_DONTNEED)
        found.read += len(raw)
        if not raw:
            self.close()
            self._judge(found)
        return len(raw)

    def _judge(self, found: _Open) -> None:
        row = found.row
        if found.read == row.bytes and found.digest.hexdigest() == row.file_sha256:
            self._note(row, found.read, None, "")
        elif found.read != row.bytes:
            detail = f"{found.read} bytes, sealed with {row.bytes}"
            self._note(row, found.read, "FOOTAGE_CHANGED", detail)
        else:
            self._note(row, found.read, "FOOTAGE_CHANGED", "SHA-256 is not the one recorded")

    def _refused(self, row: SegmentRow, exc: OSError) -> None:
        self._tokens -= self._piece  # What is written of it takes its time too.
        try:
            root = self._volumes.root(row.volume)
        except VolumeMissing:
            self._pass(row)
            return
        if exc.errno not in _GONE:
            self._note(row, 0, "UNREADABLE_FILE", str(exc.strerror))
        elif (root / row.path).parent.is_dir():
            self._note(row, 0, "FOOTAGE_MISSING", f"segment {row.id} has no file")
        else:
            self._note(row, 0, "FOOTAGE_MISSING", "the folder is gone", self._first_beside(row))

    def _first_beside(self, row: SegmentRow) -> str:
        """Return the path that a folder which is gone goes by, in the sweep as well."""
        folder = row.path.rpartition("/")[0]
        with self._store.read() as connection:
            rows = footage.segments_in_folder(connection, folder, row.volume)
        return min((path for path, one in rows.items() if one.state == "sealed"), default=row.path)

    def _note(
        self, row: SegmentRow, read: int, incident: str | None, detail: str, path: str = ""
    ) -> None:
        """Count a segment, and say what is wrong with it unless it was disposed of meanwhile."""
        round_ = self._round
        if round_ is None:
            return
        subject = shown(on_volume(row.volume, path or row.path))
        with self._store.read() as connection:
            owed = scrubs.is_sealed(connection, row)
        if not owed:
            self._pass(row)
            return
        self._round = replace(
            round_,
            next_sequence=row.sequence + 1,
            segments=round_.segments + 1,
            bytes=round_.bytes + read,
            broken=round_.broken + (incident is not None),
        )
        if incident is None:
            self._save_sometimes()
            return
        now = to_micros(self._store.clock.now())
        with self._store.write() as connection:
            scrubs.save(connection, self._round)
            footage.add_incident(self._store, connection, incident, subject, detail)
            told = f"{incident} {subject}: {detail}"
            raise_alarm(self._store, connection, Alarm.SCRUB_BROKEN, row.volume, told, now)
        log.error("footage_broken", segment=row.id, incident=incident)

    def _pass(self, row: SegmentRow) -> None:
        if self._round is not None:
            self._round = replace(self._round, next_sequence=row.sequence + 1)

    def _save_sometimes(self) -> None:
        """A file is worth no durable write: a crash costs reading a minute's worth again."""
        now_ns = self._store.clock.monotonic_ns()
        if self._round is not None and now_ns - self._saved_ns >= SAVED_SECONDS * 1e9:
            with self._store.write() as connection:
                scrubs.save(connection, self._round)
            self._saved_ns = now_ns
