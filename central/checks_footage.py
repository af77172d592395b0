"""Checking received footage: each accepted segment is still the file that its record describes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from central.collector.receiving import REJECTED, file_of
from central.errors import CheckFailed, require
from central.tables import Footage, table_of
from retention.records.clock import from_text, to_micros
from retention.records.envelope import parse_record
from retention.records.merkle import (
    CHUNK_BYTES,
    Frontier,
    leaf_hash,
    split_hashes,
    verify_inclusion,
)
from retention.records.payloads import SegmentSealed

FOOTAGE = table_of(Footage)


def check_footage(connection: Connection, node: str, root: Path, roots: Mapping[int, bytes]) -> int:
    """Check the segments of a node; return how many were accepted.

    `roots` are the roots of its acknowledged trees by size. Raises CheckFailed, RecordsError.
    """
    rows = connection.execute(
        select(FOOTAGE)
        .where(FOOTAGE.c.node == node, FOOTAGE.c.state.in_(("accepted", "rejected")))
        .order_by(FOOTAGE.c.sequence)
    ).all()
    accepted = [row for row in rows if row.state == "accepted"]
    for row in rows:
        path = file_of(root, node, row.segment)
        if row.state == "rejected":
            path = path.with_name(path.name + REJECTED)
        name = f"segment {row.segment}"
        require(row.path == str(path.relative_to(root)), f"{name}: its row names {row.path}")
        require(path.is_file(), f"{name}: {path} is missing")
        if row.state == "accepted":
            check_record(row, roots, name)
            check_file(path, row, name)
    return len(accepted)


def check_record(row: Row[*tuple[Any, ...]], roots: Mapping[int, bytes], name: str) -> None:
    """Check a segment's record against row and tree. Raises CheckFailed, RecordsError."""
    # (1) the record is covered by an acknowledged tree
    require(row.tree_size in roots, f"{name}: no checkpoint {row.tree_size}")
    verify_inclusion(
        leaf_hash(row.record), row.sequence, row.tree_size, split_hashes(row.proof),
        roots[row.tree_size],
    )  # fmt: skip
    # (2) and says what the row says
    sealed = parse_record(row.record).content()
    if not isinstance(sealed, SegmentSealed):
        raise CheckFailed(f"{name}: its record is not of a segment")
    said = (
        sealed.segment, sealed.camera, sealed.scene_role, to_micros(from_text(sealed.started_at)),
        to_micros(from_text(sealed.ended_at)), sealed.bytes, sealed.file_sha256, sealed.chunk_root,
    )  # fmt: skip
    held = (
        row.segment, row.camera, row.scene_role, row.started_at, row.ended_at, row.size_bytes,
        row.file_sha256, row.chunk_root,
    )  # fmt: skip
    require(said == held, f"{name}: its row is not what its record says")


def check_file(path: Path, row: Row[*tuple[Any, ...]], name: str) -> None:
    """Check that a file is the one its row describes. Raises CheckFailed, OSError."""
    sha256, chunks, size = hashlib.sha256(), Frontier(), 0
    with path.open("rb") as file:
        while content := file.read(CHUNK_BYTES):
            sha256.update(content)
            chunks = chunks.append(leaf_hash(content))
            size += len(content)
    require(
        (size, sha256.hexdigest(), chunks.root().hex())
        == (row.size_bytes, row.file_sha256, row.chunk_root),
        f"{name}: {path} is not the file that was received",
    )
