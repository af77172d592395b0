"""`countersight retention check`: the invariants against a node's data folder, read-only.

    rows      the log (sequence, leaves, root, canonical form), checkpoints, segments, gaps
    sizes     rows, and every file under the footage root explained, present and of its size
    digests   sizes, and every file's SHA-256, chunk root and identity read again
Findings come in this order, so the first one named is the deepest cause that was found.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice, pairwise
from pathlib import Path

from pydantic import ValidationError

from retention.footage.boxes import scan
from retention.footage.layout import VOLUME_FILE, FootageError
from retention.footage.sink import fingerprint_of
from retention.footage.sweep import findings, missing_folders
from retention.footage.volume import read_volume
from retention.keyfiles import KeyDirectory, KeyRefused
from retention.records.checkpoint import SignedCheckpoint
from retention.records.clock import from_text, to_micros
from retention.records.errors import ProofRejected, RecordsError
from retention.records.merkle import Frontier, leaf_hash
from retention.records.payloads import SegmentSealed
from retention.records.signing import Context, verify_signature
from retention.store import footage
from retention.store.database import StoreUnavailable, open_read_only
from retention.store.log import StoredRecord, all_records, read_frontier

MOST_FINDINGS = 100
TIME_TOLERANCE_US = 1000
_STRAYS = {"UNEXPLAINED_FILE", "PART_UNUSABLE", "PART_LEFT", "UNREADABLE_FILE"}


class Depth(IntEnum):
    """How far a check looks."""

    ROWS = 1
    SIZES = 2
    DIGESTS = 3


@dataclass(frozen=True, slots=True)
class Bad:
    """One thing that is not as it must be."""

    check: str
    subject: str
    detail: str


@dataclass(slots=True)
class Report:
    """What was looked at and what was found; `skipped` says what could not be checked and why."""

    depth: Depth
    counts: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.bad

    def to_json(self) -> dict[str, object]:
        found = [{"check": b.check, "subject": b.subject, "detail": b.detail} for b in self.bad]
        return {
            "ok": self.ok,
            "depth": self.depth.name.lower(),
            "first_bad": found[0] if found else None,
            "bad": found,
            "counts": self.counts,
            "skipped": self.skipped,
        }


def check(data: Path, depth: Depth) -> Report:
    """Check a data folder. Raises StoreUnavailable when there is no database to read."""
    connection = open_read_only(data / "node.sqlite3")
    try:
        connection.execute("BEGIN")
        checker = _Checker(data, connection, Report(depth))
        try:
            checker.report.bad += islice(checker.run(), MOST_FINDINGS)
            if len(checker.report.bad) == MOST_FINDINGS:
                checker.report.skipped.append(f"what comes after {MOST_FINDINGS} findings")
        except sqlite3.DatabaseError as exc:
            checker.report.bad.append(Bad("database", "node.sqlite3", str(exc)))
        return checker.report
    finally:
        connection.close()


class _Checker:
    def __init__(self, data: Path, connection: sqlite3.Connection, report: Report) -> None:
        self._data, self._connection, self.report = data, connection, report
        self._root = data / "footage"
        row = connection.execute("SELECT agency, pharmacy, node, database_id FROM node").fetchone()
        if row is None:
            raise StoreUnavailable(f"{data / 'node.sqlite3'}: names no node")
        self._owner = (row["agency"], row["pharmacy"], row["node"])
        self._database_id: str = row["database_id"]
        self._roots: dict[int, tuple[str, int]] = {}
        self._sealed: dict[str, int] = {}

    def run(self) -> Iterator[Bad]:
        yield from self._database()
        yield from self._version()
        yield from self._log()
        yield from self._checkpoints()
        yield from self._segments()
        yield from self._runs()
        yield from self._gaps()
        if self.report.depth >= Depth.SIZES:
            yield from self._volume()
            yield from self._files()
        if self.report.depth >= Depth.DIGESTS:
            yield from self._digests()

    def _database(self) -> Iterator[Bad]:
        for (found,) in self._connection.execute("PRAGMA quick_check(1)"):
            if found != "ok":
                yield Bad("database", "node.sqlite3", str(found).splitlines()[0])

    def _version(self) -> Iterator[Bad]:
        path = self._data / "VERSION"
        if not path.exists():
            self.report.skipped.append("version: no VERSION file, the node never ran")
            return
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("database_id") != self._database_id:
            yield Bad("version", "VERSION", "does not name this database")

    # -- the log ----------------------------------------------------------------------------------

    def _log(self) -> Iterator[Bad]:
        wanted = {row[0] for row in self._connection.execute("SELECT tree_size FROM checkpoints")}
        frontier, sent = Frontier(), 0
        for stored in all_records(self._connection):
            yield from self._record(stored, frontier.size, sent)
            frontier = frontier.append(leaf_hash(stored.raw))
            sent += stored.sent_sequence is not None
            if frontier.size in wanted:
                self._roots[frontier.size] = (frontier.root().hex(), sent)
        kept, kept_sent = read_frontier(self._connection)
        if (kept, kept_sent) != (frontier, sent):
            yield Bad(
                "log",
                "frontier",
                f"kept for {kept.size} records ({kept_sent} sent), the log has {frontier.size} "
                f"({sent} sent) or another root",
            )
        self.report.counts |= {"records": frontier.size, "sent": sent}

    def _record(self, stored: StoredRecord, sequence: int, sent: int) -> Iterator[Bad]:
        subject = f"record {stored.sequence}"
        if stored.sequence != sequence:
            yield Bad("log", subject, f"record {sequence} is missing")
            return
        if stored.sent_sequence not in (None, sent):
            yield Bad("log", subject, f"sent_sequence {stored.sent_sequence}, expected {sent}")
        if leaf_hash(stored.raw) != stored.leaf:
            yield Bad("log", subject, "the leaf is not the hash of the bytes")
        try:
            record = stored.parse()
        except RecordsError as exc:
            yield Bad("log", subject, str(exc))
            return
        said = (record.sequence, record.sent_sequence, record.kind)
        if said != (stored.sequence, stored.sent_sequence, stored.kind):
            yield Bad("log", subject, f"the row says {stored.kind}, the record says {said}")
        if (record.agency, record.pharmacy, record.node) != self._owner:
            yield Bad("log", subject, f"a record of node {record.node}")
        if record.kind == "segment.sealed":
            self._sealed[str(record.payload.get("segment"))] = record.sequence

    def _checkpoints(self) -> Iterator[Bad]:
        public_key = self._public_key()
        count = 0
        for row in self._connection.execute(
            "SELECT tree_size, body FROM checkpoints ORDER BY tree_size"
        ):
            count += 1
            subject = f"checkpoint {row['tree_size']}"
            try:
                signed = SignedCheckpoint.model_validate_json(row["body"])
                said = (signed.checkpoint.root_hash, signed.checkpoint.sent_count)
                if signed.checkpoint.tree_size != row["tree_size"]:
                    yield Bad("checkpoints", subject, "the row and the body disagree on the size")
                elif self._roots.get(row["tree_size"]) != said:
                    yield Bad("checkpoints", subject, "the log does not have this root")
                if public_key is not None:
                    verify_signature(
                        public_key, Context.CHECKPOINT, signed.checkpoint, signed.signature
                    )
            except (ValidationError, ProofRejected) as exc:
                yield Bad("checkpoints", subject, str(exc).splitlines()[0])
        self.report.counts["checkpoints"] = count

    def _public_key(self) -> bytes | None:
        path = self._data / "keys" / "signing.key"
        try:
            if path.exists():
                return KeyDirectory(path.parent).signer().public_key
            reason = "no keys in the data folder"
        except (KeyRefused, OSError) as exc:
            reason = str(exc)
        self.report.skipped.append(f"checkpoint signatures: {reason}")
        return None

    # -- rows of footage --------------------------------------------------------------------------

    def _segments(self) -> Iterator[Bad]:
        unseen = self._sealed
        count = 0
        for row in footage.all_segments(self._connection):
            count += 1
            unseen.pop(row.id, None)
            yield from self._segment(row)
        for segment, sequence in unseen.items():
            yield Bad("segments", segment, f"record {sequence} names it, the index does not")
        self.report.counts["segments"] = count

    def _segment(self, row: footage.SegmentRow) -> Iterator[Bad]:
        stored = self._connection.execute(
            "SELECT bytes FROM log WHERE sequence = ? AND kind = 'segment.sealed'", (row.sequence,)
        ).fetchone()
        if stored is None:
            yield Bad("segments", row.path, f"record {row.sequence} is not its segment.sealed")
            return
        try:
            said = SegmentSealed.model_validate(json.loads(stored[0])["payload"])
        except (ValidationError, ValueError, KeyError):
            return  # The log check names it.
        pairs = {
            "segment": (said.segment, row.id),
            "camera": (said.camera, row.camera),
            "scene_role": (said.scene_role.value, row.scene_role),
            "run": (said.run, row.run),
            "ordinal": (said.ordinal, row.ordinal),
            "started_at": (to_micros(from_text(said.started_at)), row.started_at),
            "ended_at": (to_micros(from_text(said.ended_at)), row.ended_at),
            "bytes": (said.bytes, row.bytes),
            "codec": (said.codec, row.codec),
            "file_sha256": (said.file_sha256, row.file_sha256),
            "chunk_root": (said.chunk_root, row.chunk_root),
        }
        for name, (recorded, indexed) in pairs.items():
            if recorded != indexed:
                detail = f"{name}: index {indexed}, record {row.sequence} says {recorded}"
                yield Bad("segments", row.path, detail)

    def _runs(self) -> Iterator[Bad]:
        for before, after in pairwise(footage.all_segments(self._connection)):
            if before.run == after.run and after.started_at < before.ended_at - TIME_TOLERANCE_US:
                yield Bad("runs", after.path, f"begins before segment {before.ordinal} ends")
        for row in footage.all_segments(self._connection):
            if row.ended_at < row.started_at:
                yield Bad("runs", row.path, "ends before it begins")

    def _gaps(self) -> Iterator[Bad]:
        kinds = {"gap.opened": 0, "gap.closed": 0}
        for kind in kinds:
            (kinds[kind],) = self._connection.execute(
                "SELECT count(*) FROM log WHERE kind = ?", (kind,)
            ).fetchone()
        (count, closed) = self._connection.execute(
            "SELECT count(*), count(ended_at) FROM gaps"
        ).fetchone()
        if (count, closed) != (kinds["gap.opened"], kinds["gap.closed"]):
            yield Bad("gaps", "gaps", f"{count} rows, {closed} closed; records say {kinds}")
        for camera, opened in self._connection.execute(
            "SELECT camera, count(*) FROM gaps WHERE ended_at IS NULL GROUP BY camera"
            " HAVING count(*) > 1"
        ):
            yield Bad("gaps", camera, f"{opened} gaps are open at once")
        for row in self._connection.execute("SELECT id FROM gaps WHERE ended_at < started_at"):
            yield Bad("gaps", row[0], "ends before it begins")
        self.report.counts |= {"gaps": count, "gaps_open": count - closed}

    # -- files ------------------------------------------------------------------------------------

    def _volume(self) -> Iterator[Bad]:
        path = self._root / VOLUME_FILE
        if not path.exists():
            if self.report.counts.get("segments"):
                yield Bad("volume", VOLUME_FILE, "missing, though the index knows footage")
            return
        try:
            found = read_volume(path)
        except (FootageError, OSError) as exc:
            yield Bad("volume", VOLUME_FILE, str(exc))
            return
        if (found.node, found.database_id) != (self._owner[2], self._database_id):
            yield Bad("volume", VOLUME_FILE, f"of node {found.node}, another database or node")

    def _files(self) -> Iterator[Bad]:
        explained = footage.incident_subjects(self._connection)
        known = 0

        def read(folder: str) -> dict[str, footage.SegmentRow]:
            return footage.segments_in_folder(self._connection, folder)

        for one in findings(self._root, read, time.time()):
            # A stray file with its incident row is explained; lost footage never is.
            if one.subject in explained and one.incident in _STRAYS:
                known += 1
                continue
            yield Bad("files", one.subject, f"{one.incident}: {one.detail}")
        for one in missing_folders(self._root, self._connection):
            yield Bad("files", one.subject, f"{one.incident}: {one.detail}")
        self.report.counts["files_under_incident"] = known

    def _digests(self) -> Iterator[Bad]:
        count = 0
        for row in footage.all_segments(self._connection):
            path = self._root / row.path
            if row.state != "sealed" or not path.exists():
                continue
            count += 1
            try:
                fingerprint = fingerprint_of(path)
            except OSError as exc:
                yield Bad("digests", row.path, f"cannot be read: {exc.strerror}")
                continue
            if fingerprint.file_sha256() != row.file_sha256:
                yield Bad("digests", row.path, "SHA-256 is not the one recorded")
            elif fingerprint.chunk_root() != row.chunk_root:
                yield Bad("digests", row.path, "chunk root is not the one recorded")
            else:
                yield from self._identity(row, path)
        self.report.counts["files_hashed"] = count

    def _identity(self, row: footage.SegmentRow, path: Path) -> Iterator[Bad]:
        identity = scan(path).identity
        said = identity and (identity.segment, identity.run, identity.ordinal, identity.camera)
        if said != (row.id, row.run, row.ordinal, row.camera):
            yield Bad("digests", row.path, f"the identity inside says {said}")
