"""Checking the segments of a session again, now: file, record, tree, signatures.

(1) the file has the record's length, SHA-256 and chunk root
(2) the record is a leaf of the tree of the checkpoint it came with, and says what the row says
(3) that checkpoint is the one that the node signed and central countersigned
What was found is kept for this process by size and time of change (ctime; whoever writes can set
mtime back); a file that was touched is looked at again. One file is read at a time, whoever asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from fastapi import Request
from sqlalchemy import Connection, Row, select

from central.checks import check_signatures
from central.checks_footage import check_file, check_record
from central.collector.receiving import file_of
from central.errors import CheckFailed
from central.tables import CheckpointRow, Node, table_of
from central.web.state import WebState, web_state
from retention.records.errors import RecordsError

log = structlog.get_logger()
CHECKPOINTS, NODES = table_of(CheckpointRow), table_of(Node)
AnyRow = Row[*tuple[Any, ...]]
MAX_KEPT = 20_000
Key = tuple[str, str, int, int]  # node, segment, ctime_ns, size


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found. `problem` is None when all holds, else a code of words.py;
    `detail` is for the log."""

    problem: str | None = None
    detail: str = ""

    @property
    def holds(self) -> bool:
        return self.problem is None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A segment's row and the checkpoint row it came with, None if there is none."""

    row: AnyRow
    checkpoint: AnyRow | None
    signing_key: bytes


@dataclass
class Verifications:
    """What was found, and the threads that look. `central_key` is central's public key."""

    root: Path
    central_key: bytes
    _found: dict[Key, Verdict] = field(default_factory=dict)
    _busy: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def verdict(self, row: AnyRow) -> Verdict | None:
        """Return what is known of a segment as its file is now; None when nobody looked yet."""
        if row.state == "rejected":
            return Verdict(row.reason or "FILE_CHANGED")
        key = self._key(row)
        if key is None:
            return Verdict("FILE_MISSING")
        return self._found.get(key)

    def is_known_broken(self, row: AnyRow) -> bool:
        """Say whether the segment was found broken; then it is never played."""
        found = self.verdict(row)
        return found is not None and not found.holds

    def begin(
        self, session: tuple[str, str], evidence: Sequence[Evidence], wait_seconds: float = 0.0
    ) -> None:
        """Look at what nobody looked at yet of a session (node, id), in one thread; wait a moment,
        since most are small."""
        open_ones = [one for one in evidence if self.verdict(one.row) is None]
        if not open_ones:
            return
        with self._lock:
            if session in self._busy:
                return
            self._busy.add(session)
        thread = threading.Thread(target=self._look_at, args=(open_ones, session), daemon=True)
        thread.start()
        thread.join(wait_seconds)

    def forget(self, rows: Sequence[AnyRow]) -> None:
        """Forget what was found of some segments, so that they are looked at again."""
        for row in rows:
            key = self._key(row)
            if key is not None:
                with self._lock:
                    self._found.pop(key, None)

    def _look_at(self, evidence: Sequence[Evidence], session: tuple[str, str]) -> None:
        try:
            for one in evidence:
                with self._one_at_a_time:
                    self._look_at_one(one)
        finally:
            with self._lock:
                self._busy.discard(session)

    def _look_at_one(self, one: Evidence) -> None:
        key = self._key(one.row)
        if key is None or key in self._found:
            return
        verdict = self._verdict(one)
        if not verdict.holds:
            log.error(
                "segment_broken", node=one.row.node, segment=one.row.segment,
                problem=verdict.problem, detail=verdict.detail,
            )  # fmt: skip
        # A file that changed while it was read has another key and is looked at again.
        with self._lock:
            while len(self._found) >= MAX_KEPT:
                self._found.pop(next(iter(self._found)))
            self._found[key] = verdict

    def _verdict(self, one: Evidence) -> Verdict:
        row, checkpoint = one.row, one.checkpoint
        if checkpoint is None:
            return Verdict("CHECKPOINT_UNKNOWN", f"checkpoint {row.tree_size}")
        roots = {checkpoint.tree_size: checkpoint.root_hash}
        name = f"segment {row.segment}"
        path = file_of(self.root, row.node, row.segment)
        checks: tuple[tuple[str, Callable[[], None]], ...] = (
            ("FILE_CHANGED", lambda: check_file(path, row, name)),
            ("RECORD_CHANGED", lambda: check_record(row, roots, name)),
            (
                "CHECKPOINT_CHANGED",
                lambda: check_signatures(
                    checkpoint, one.signing_key, self.central_key, f"checkpoint {row.tree_size}"
                ),
            ),
        )
        for code, check in checks:
            try:
                check()
            except OSError as exc:
                return Verdict("FILE_NOT_READ", str(exc.strerror))
            # The last two: a value changed by hand may not even have its type.
            except (CheckFailed, RecordsError, ValueError, TypeError) as exc:
                return Verdict(code, str(exc))
        return Verdict()

    def _key(self, row: AnyRow) -> Key | None:
        try:
            found = file_of(self.root, row.node, row.segment).stat()
        except OSError:
            return None
        return row.node, row.segment, found.st_ctime_ns, found.st_size


def verifications_of(request: Request) -> Verifications:
    """Return what this process knows of segments; made at the first question."""
    found = getattr(request.app.state, "verifications", None)
    if found is None:
        found = request.app.state.verifications = make(web_state(request))
    if not isinstance(found, Verifications):
        raise TypeError("app.state.verifications is something else")
    return found


def make(state: WebState) -> Verifications:
    """Return an empty set of findings for a central."""
    return Verifications(state.config.footage_root, state.keys.signer.public_key)


def evidence_of(connection: Connection, node: str, rows: Sequence[AnyRow]) -> list[Evidence]:
    """Return what is needed to check the segments that central accepted."""
    accepted = [row for row in rows if row.state == "accepted"]
    sizes = {row.tree_size for row in accepted}
    checkpoints = {
        row.tree_size: row
        for row in connection.execute(
            select(CHECKPOINTS).where(
                CHECKPOINTS.c.node == node, CHECKPOINTS.c.tree_size.in_(sizes)
            )
        )
    }
    key = bytes.fromhex(
        connection.execute(select(NODES.c.signing_key).where(NODES.c.node == node)).scalar_one()
    )
    return [Evidence(row, checkpoints.get(row.tree_size), key) for row in accepted]
