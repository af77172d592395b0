"""Makes an evidence export: records with their proofs, footage as it was sealed, one signature.

Order: who takes it and why is recorded first; then a checkpoint is signed, and everything that
lies before it is read from one snapshot of the database; then the footage is copied from
descriptors that disposal cannot take away; `evidence.exported` is committed before the archive
gets its name. What cannot be had is named with its reason, never left out in silence.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from retention.export import page, verify
from retention.export.archive import ArchiveWriter, ExportRefused, SourceUnreadable
from retention.export.selection import Selection, Span, select
from retention.footage.volumes import VolumeMissing, Volumes
from retention.records.canonical import canonical_bytes
from retention.records.checkpoint import SignedCheckpoint, SignedCountersignature
from retention.records.clock import from_micros, to_micros, to_text
from retention.records.fields import Code, Count, Digest, Frozen, Id, Moment, Text
from retention.records.keeping import EvidenceExported
from retention.records.payloads import AccessRecorded
from retention.records.signing import Context, Ed25519Signer, key_id_of
from retention.store import footage
from retention.store.database import NodeStore, open_read_only
from retention.store.footage import SegmentRow
from retention.store.log import append, by_sequence
from retention.store.proofs import LogTree
from retention.store.uplink import make_checkpoint

OPENED_AHEAD = 256
"""Files whose descriptors are taken before the first is copied: a whole session, and more."""
MOST_CHECKPOINTS = 64
Beat = Callable[[str, int, int], None]  # what is done, how much of it, of how much

KEY_WORDS = (
    "公钥须向管理机构另行核对：本文件由节点写入，不能证明自己。",
    "Compare these keys with the agency's by another way: this file was written by the node itself "
    "and proves nothing alone.",
)


class ManifestFile(Frozen):
    name: str
    bytes: Count
    sha256: Digest


class Absent(Frozen):
    """Something of the span that is not in the export: what, which, why (a code of verify.py)."""

    what: Code
    subject: str
    reason: Code
    detail: str


class Manifest(Frozen):
    """What the node signs: everything that is in the archive, and for whom it was made."""

    format: Code
    export: Id
    agency: Code
    pharmacy: Code
    node: Code
    software: Code
    made_at: Moment
    clock_state: Code
    author: Text
    reason: Text
    session: Id | None
    started_at: Moment
    ended_at: Moment
    cameras: tuple[Code, ...]
    tree_size: Count
    root_hash: Digest
    records: Count
    segments: Count
    absent: tuple[Absent, ...]
    files: tuple[ManifestFile, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, by whom, and where it goes."""

    span: Span
    author: str
    reason: str
    out: Path
    rolls_us: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Made:
    """An export that was handed out; `faults` are what an inspector must not overlook."""

    export: str
    out: Path
    bytes: int
    segments: int
    records: int
    manifest_sha256: str
    node_key: str
    absent: tuple[Absent, ...]
    faults: tuple[str, ...]


@dataclass(slots=True)
class _Work:
    """What an export gathers on its way."""

    store: NodeStore
    volumes: Volumes
    signer: Ed25519Signer
    central_key: bytes | None
    wanted: Wanted
    beat: Beat
    archive: ArchiveWriter
    facts: page.PageFacts
    head: SignedCheckpoint
    absent: list[Absent] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def miss(self, what: str, subject: str, reason: str, detail: str) -> None:
        self.absent.append(Absent(what=what, subject=subject, reason=reason, detail=detail))


def export(
    store: NodeStore,
    volumes: Volumes,
    signer: Ed25519Signer,
    central_key: bytes | None,
    wanted: Wanted,
    beat: Beat,
) -> Made:
    """Write the export. Raises ExportRefused, StoreUnavailable, OSError; then there is none."""
    number, made_at = store.ids.new(), store.clock.now()
    with ArchiveWriter(wanted.out) as archive:
        head = _begin(store, signer, wanted, number)
        work = _Work(
            store, volumes, signer, central_key, wanted, beat, archive,
            page.PageFacts(_about(store, wanted, number, to_text(made_at))), head,
        )  # fmt: skip
        with closing(open_read_only(store.path)) as connection:
            connection.execute("BEGIN")
            selection = _select(work, connection, to_micros(made_at))
            _write_proofs(work, connection, selection)
        copied = _write_footage(work, selection)
        manifest = _write_rest(work, selection, copied)
        archive.finish()
        digest = _record(store, wanted, number, manifest)
        archive.publish()
    return Made(
        number, wanted.out, wanted.out.stat().st_size, copied, len(selection.records), digest,
        signer.public_key.hex(), tuple(work.absent), tuple(work.faults),
    )  # fmt: skip


# -- before anything is read ----------------------------------------------------------------------


def _begin(
    store: NodeStore, signer: Ed25519Signer, wanted: Wanted, number: str
) -> SignedCheckpoint:
    """Record the access, then sign the log as it is with it (invariant 10)."""
    access = AccessRecorded(
        actor=wanted.author,
        action="evidence.export",
        subject=f"{number} {_subject(wanted.span)}"[:200],
        reason=wanted.reason,
    )
    with store.write() as connection:
        append(store, connection, access)
    with store.write() as connection:
        return make_checkpoint(store, connection, signer)


def _subject(span: Span) -> str:
    if span.session is not None:
        return f"session {span.session}"
    started_at, ended_at = (to_text(from_micros(at)) for at in (span.started_at, span.ended_at))
    return f"{started_at} – {ended_at} {', '.join(span.cameras)}"


def _about(store: NodeStore, wanted: Wanted, number: str, made_at: str) -> dict[str, object]:
    return {
        "format": verify.FORMAT,
        "export": number,
        "agency": store.identity.agency,
        "pharmacy": store.identity.pharmacy,
        "node": store.identity.node,
        "software": f"countersight-{version('countersight')}",
        "made_at": made_at,
        "clock_state": store.clock.state().value,
        "author": wanted.author,
        "reason": wanted.reason,
        "session": wanted.span.session,
        "started_at": to_text(from_micros(wanted.span.started_at)),
        "ended_at": to_text(from_micros(wanted.span.ended_at)),
        "cameras": wanted.span.cameras,
    }


# -- records, proofs, checkpoints: one snapshot ---------------------------------------------------


def _select(work: _Work, connection: sqlite3.Connection, now: int) -> Selection:
    span, size = work.wanted.span, work.head.checkpoint.tree_size
    selection = select(connection, span, work.wanted.rolls_us, size, now)
    for camera in span.cameras:
        work.facts.gaps += footage.gaps_between(connection, camera, span.started_at, span.ended_at)
    for segment, why in selection.disposed_segments:
        work.miss("segment", segment, "SEGMENT_DISPOSED", why)
    for place in selection.disposed_records:
        work.miss("record", str(place), "RECORD_DISPOSED", "its leaf stays in the log")
    for camera, ended_at in selection.unsealed:
        work.miss("footage", camera, "NOT_SEALED_YET", f"from {to_text(from_micros(ended_at))}")
    return selection


def _write_proofs(work: _Work, connection: sqlite3.Connection, selection: Selection) -> None:
    """Write checkpoints, records and proofs; the proofs are spooled beside the archive."""
    tree = LogTree(connection, work.head.checkpoint.tree_size)
    if tree.root().hex() != work.head.checkpoint.root_hash:
        raise ExportRefused("the log and its frontier disagree: run `countersight retention check`")
    with work.archive.entry(verify.CHECKPOINTS) as entry:
        for line in _checkpoints(work, connection, tree, selection):
            entry.write(line + b"\n")
    with tempfile.TemporaryFile(dir=work.wanted.out.parent) as spool:
        with work.archive.entry(verify.RECORDS) as entry:
            for done, place in enumerate(selection.records, start=1):
                raw = by_sequence(connection, place).raw
                entry.write(raw + b"\n")
                path = [step.hex() for step in tree.inclusion(place)]
                spool.write(canonical_bytes({"leaf_index": place, "path": path}) + b"\n")
                work.facts.take(json.loads(raw))
                work.beat("records", done, len(selection.records))
        spool.flush()
        os.lseek(spool.fileno(), 0, os.SEEK_SET)
        work.archive.copy(verify.PROOFS, spool.fileno(), lambda _: None)


def _checkpoints(
    work: _Work, connection: sqlite3.Connection, tree: LogTree, selection: Selection
) -> Iterator[bytes]:
    """Yield the countersigned checkpoints that first covered a record, and the newest of all.

    Central's signature under a checkpoint shows that what it covers existed by then; so the
    earliest ones are worth most. They are thinned when there are many, those of footage by
    themselves: months of records about who looked must not crowd them out.
    """
    head = work.head.checkpoint.tree_size
    signer = None if work.central_key is None else key_id_of(work.central_key)
    countersigned: dict[int, SignedCountersignature] = {}
    for row in connection.execute(
        "SELECT tree_size, countersigned FROM checkpoints WHERE countersigned IS NOT NULL"
        " AND tree_size <= ? ORDER BY tree_size",
        (head,),
    ):
        signed = SignedCountersignature.model_validate_json(row["countersigned"])
        if signed.signature.key_id == signer:  # what an earlier key of central's signed is no proof
            countersigned[row["tree_size"]] = signed
    sizes = [one for one in countersigned if one < head]
    footage_at = sorted(row.sequence for row in selection.segments)
    kept = {
        size
        for places in (footage_at, selection.records)
        for size in _thinned(_first_covering(places, sizes))
    }
    for size in [*sorted(kept), head]:
        body = connection.execute("SELECT body FROM checkpoints WHERE tree_size = ?", (size,))
        counter = countersigned.get(size)
        yield canonical_bytes(
            {
                "signed": SignedCheckpoint.model_validate_json(body.fetchone()["body"]).model_dump(
                    mode="json"
                ),
                "countersigned": None if counter is None else counter.model_dump(mode="json"),
                "consistency": [step.hex() for step in tree.consistency(size)],
            }
        )


def _first_covering(places: Iterable[int], sizes: Sequence[int]) -> list[int]:
    """Return, for each record, the smallest of the (sorted) sizes that covers it, once each."""
    found: list[int] = []
    at = 0
    for place in places:
        while at < len(sizes) and sizes[at] <= place:
            at += 1
        if at == len(sizes):
            break
        if not found or found[-1] != sizes[at]:
            found.append(sizes[at])
    return found


def _thinned(sizes: list[int]) -> list[int]:
    if len(sizes) <= MOST_CHECKPOINTS:
        return sizes
    last = len(sizes) - 1
    kept = {round(at * last / (MOST_CHECKPOINTS - 1)) for at in range(MOST_CHECKPOINTS)}
    return [sizes[at] for at in sorted(kept)]


# -- footage --------------------------------------------------------------------------------------


def _write_footage(work: _Work, selection: Selection) -> int:
    """Copy every segment file as it is; returns how many."""
    total, done, copied = sum(row.bytes for row in selection.segments), 0, 0
    waiting = iter(selection.segments)
    opened: list[tuple[SegmentRow, int]] = []
    try:
        while True:
            while len(opened) < OPENED_AHEAD and (row := next(waiting, None)) is not None:
                descriptor = _opened(work, row)
                if descriptor is not None:
                    opened.append((row, descriptor))
            if not opened:
                return copied
            row, descriptor = opened.pop(0)
            try:
                copied += _copied(work, row, descriptor)
            finally:
                os.close(descriptor)
            done += row.bytes
            work.beat("footage", done, total)
    finally:
        for _, descriptor in opened:
            os.close(descriptor)


def _opened(work: _Work, row: SegmentRow) -> int | None:
    """Return a descriptor that keeps the file readable even if it is disposed of from now on."""
    try:
        path = work.volumes.path_of(row)
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except VolumeMissing as exc:
        work.miss("segment", row.id, "SEGMENT_UNREACHABLE", str(exc))
    except OSError as exc:
        if _was_disposed(work.store, row):
            work.miss("segment", row.id, "SEGMENT_UNREACHABLE", "disposed of while this was made")
        else:
            _lost(work, row, str(exc.strerror))
    return None


def _was_disposed(store: NodeStore, row: SegmentRow) -> bool:
    """Tell whether disposal took the file away after the snapshot was read."""
    with store.read() as connection:
        state = connection.execute("SELECT state FROM segments WHERE id = ?", (row.id,)).fetchone()
    return state is None or state["state"] == "tombstoned"


def _copied(work: _Work, row: SegmentRow, descriptor: int) -> int:
    try:
        written = work.archive.copy(f"footage/{row.path}", descriptor, lambda _: None)
    except SourceUnreadable as exc:
        _lost(work, row, exc.reason)
        return 0
    if (written.bytes, written.sha256) != (row.bytes, row.file_sha256):
        # It is taken all the same: what stands in the place of evidence is evidence too.
        work.faults.append(f"SEGMENT_CHANGED {row.path}")
    work.facts.segments.append(row)
    return 1


def _lost(work: _Work, row: SegmentRow, reason: str) -> None:
    work.miss("segment", row.id, "SEGMENT_MISSING", f"{row.path}: {reason}")
    work.faults.append(f"SEGMENT_MISSING {row.path}: {reason}")


# -- the rest -------------------------------------------------------------------------------------


def _write_rest(work: _Work, selection: Selection, copied: int) -> Manifest:
    """Write keys, page, check and manifest, the signature last."""
    archive, about, span = work.archive, dict(work.facts.about), work.wanted.span
    archive.add(verify.KEYS, _keys(work.signer.public_key, work.central_key))
    archive.add("README.txt", page.readme(about))
    archive.add("verify.py", Path(verify.__file__).read_bytes())
    absent = [one.model_dump() for one in work.absent]
    span_ms = (span.started_at // 1000, span.ended_at // 1000)
    archive.add("index.html", page.render(work.facts, archive.written, absent, span_ms))
    manifest = Manifest.model_validate(
        {
            **about,
            "tree_size": work.head.checkpoint.tree_size,
            "root_hash": work.head.checkpoint.root_hash,
            "records": len(selection.records),
            "segments": copied,
            "absent": tuple(work.absent),
            "files": [
                {"name": one.name, "bytes": one.bytes, "sha256": one.sha256}
                for one in archive.written
            ],
        }
    )
    archive.add(verify.MANIFEST, canonical_bytes(manifest.model_dump(mode="json")))
    signature = work.signer.sign(Context.EXPORT, manifest)
    archive.add(verify.SIGNATURE, canonical_bytes(signature.model_dump(mode="json")))
    return manifest


def _keys(node: bytes, central: bytes | None) -> bytes:
    def named(key: bytes | None) -> list[dict[str, str]]:
        return [] if key is None else [{"key_id": key_id_of(key), "public_key": key.hex()}]

    return canonical_bytes(
        {"words": list(KEY_WORDS), "node": named(node), "central": named(central)}
    )


def _record(store: NodeStore, wanted: Wanted, number: str, manifest: Manifest) -> str:
    digest = hashlib.sha256(canonical_bytes(manifest.model_dump(mode="json"))).hexdigest()
    exported = EvidenceExported(
        export=number,
        session=wanted.span.session,
        started_at=manifest.started_at,
        ended_at=manifest.ended_at,
        segments=manifest.segments,
        records=manifest.records,
        manifest_sha256=digest,
        author=wanted.author,
        reason=wanted.reason,
    )
    with store.write() as connection:
        append(store, connection, exported)
    return digest
