"""What is still there of what a receipt names, read from a node's data folder; it writes nothing.

What the law or a person took away (erased at its end, withdrawn) makes a receipt one that can be
replayed no longer, with the reason and the date. What is gone or changed without a record is a
difference: it was taken away by somebody else.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.verifier.references import sealed_of
from identity.errors import ReferenceUnreadable
from identity.references import Reference, open_sealed
from identity.replay import Difference
from retention import probe_files
from retention.keyfiles import KeyDirectory
from retention.keysources import ReferenceKeys
from retention.probe_files import Bound, ProbeUnreadable
from retention.records.envelope import Record
from retention.records.errors import MalformedRecord, ProofRejected
from retention.records.people import DecisionReceipt2, IdentityDecided2
from retention.records.signing import Context, verify_signature
from retention.store import people, probes
from retention.store.log import StoredRecord


class NotReplayable(Exception):
    """A receipt that can be replayed no longer, or never could: a reason code, and since when."""

    def __init__(self, reason: str, since: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.since = reason, since


class Tampered(Exception):
    """Something that ought to be here is not, or is not what it was."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.what)
        self.difference = difference


@dataclass(frozen=True, slots=True)
class Kept:
    """Evidence and reference of a receipt, opened."""

    encoded: bytes
    reference: Reference


KEY_MISSING = "KEY_MISSING"
ERASED = {"expired": "EVIDENCE_EXPIRED", "consent_withdrawn": "EVIDENCE_WITHDRAWN"}


def find_decision(connection: sqlite3.Connection, receipt: str) -> Record | None:
    """Return the record of the decision that made a receipt; None when the log has none. Raises
    Tampered when the record that names it is none any more; other records are not read."""
    rows = connection.execute(
        "SELECT sequence, sent_sequence, kind, bytes, leaf FROM log"
        " WHERE kind = 'identity.decided' AND disposed_by IS NULL"
        " AND instr(bytes, CAST(? AS BLOB)) > 0",
        (f'"receipt":"{receipt}"',),
    )
    for row in rows:
        record = _parsed(row)
        said: Any = record.payload["receipt"]
        if said["receipt"] == receipt:
            return record
    return None


def _parsed(row: sqlite3.Row) -> Record:
    try:
        return StoredRecord(*row).parse()
    except MalformedRecord as exc:
        raise Tampered(Difference("record", str(row["sequence"]), str(exc)[:200])) from exc


def receipt_of(record: Record, signer: bytes | None) -> DecisionReceipt2:
    """Return a receipt that can be replayed in principle, its signature checked with the node's
    public key if that is there. Raises NotReplayable, Tampered."""
    if record.version < 2:  # the first version did not say what it rested on
        raise NotReplayable("RECEIPT_TOO_OLD")
    decided = IdentityDecided2.model_validate(record.payload)
    if signer is not None:
        _check_signature(decided, signer)
    receipt = decided.receipt
    if receipt.method != "face":
        raise NotReplayable("NOT_BY_FACE")
    if receipt.probe_digest is None or receipt.reference is None:
        raise NotReplayable("NO_EVIDENCE_KEPT")
    return receipt


def signer_of(data: Path) -> bytes | None:
    """Return the node's public key; None where its key is not, as in a copy without keys. Raises
    KeyRefused."""
    if not (data / "keys" / "signing.key").exists():
        return None
    return KeyDirectory(data / "keys").signer().public_key


def _check_signature(decided: IdentityDecided2, public_key: bytes) -> None:
    try:
        verify_signature(public_key, Context.RECEIPT, decided.receipt, decided.signature)
    except ProofRejected as exc:
        difference = Difference("signature", decided.signature.key_id, str(exc))
        raise Tampered(difference) from exc


def open_kept(
    connection: sqlite3.Connection,
    data: Path,
    receipt: DecisionReceipt2,
    keys: ReferenceKeys,
    sequence: int,
) -> Kept:
    """Open what a receipt rests on, whose decision stands at a place in the log. Raises
    NotReplayable, Tampered, KeyRefused, OSError."""
    try:
        return _open_kept(connection, data, receipt, keys, sequence)
    except NotReplayable as exc:
        if exc.reason != KEY_MISSING:
            raise
    # A rotation beside us may have removed the key between the row and it: the row tells it now.
    return _open_kept(connection, data, receipt, keys, sequence)


def _open_kept(
    connection: sqlite3.Connection,
    data: Path,
    receipt: DecisionReceipt2,
    keys: ReferenceKeys,
    sequence: int,
) -> Kept:
    encoded = _evidence(connection, data, receipt, keys, sequence)
    return Kept(encoded, _reference(connection, receipt, keys, sequence))


def _evidence(
    connection: sqlite3.Connection,
    data: Path,
    receipt: DecisionReceipt2,
    keys: ReferenceKeys,
    sequence: int,
) -> bytes:
    digest = receipt.probe_digest or ""
    row = probes.read(connection, receipt.receipt)
    if row is None:
        gone = _erasure(connection, "probes.erased", "receipts", receipt.receipt)
        if gone is not None:
            raise NotReplayable(ERASED[gone.payload["cause"]], gone.occurred_at)
        if _erasures_forgotten(connection, "probes.erased", sequence):
            raise NotReplayable("EVIDENCE_EXPIRED")
        raise Tampered(Difference("evidence", digest, None))
    key = keys.by_id(row.key_id)
    if key is None:
        raise NotReplayable(KEY_MISSING)
    bound = Bound(receipt.receipt, receipt.session, receipt.subject_ref, digest)
    try:
        data_key = probe_files.unwrap(row.nonce, row.wrapped, row.receipt, row.session, key)
        content = (probe_files.folder_of(data) / receipt.receipt).read_bytes()
        return probe_files.open_sealed(content, data_key, bound)
    except FileNotFoundError as exc:
        raise Tampered(Difference("evidence", digest, None)) from exc
    except ProbeUnreadable as exc:
        raise Tampered(Difference("probe_digest", digest, exc.reason)) from exc


def _reference(
    connection: sqlite3.Connection, receipt: DecisionReceipt2, keys: ReferenceKeys, sequence: int
) -> Reference:
    wanted = receipt.reference or ""
    row = people.reference_by_id(connection, wanted)
    if row is None:
        gone = _erasure(connection, "reference.erased", "reference", wanted)
        if gone is not None:
            raise NotReplayable("REFERENCE_ERASED", gone.occurred_at)
        if _erasures_forgotten(connection, "reference.erased", sequence):
            raise NotReplayable("REFERENCE_ERASED")
        raise Tampered(Difference("reference", wanted, None))
    key = keys.by_id(row.key_id)
    if key is None:
        raise NotReplayable(KEY_MISSING)
    try:
        return open_sealed(sealed_of(row), key.secret)
    except ReferenceUnreadable as exc:
        raise Tampered(Difference("reference", wanted, exc.reason)) from exc


def _erasure(connection: sqlite3.Connection, kind: str, field: str, name: str) -> Record | None:
    """Return the record that tells of the end of something by its name."""
    rows = connection.execute(
        "SELECT sequence, sent_sequence, kind, bytes, leaf FROM log"
        " WHERE kind = ? AND disposed_by IS NULL AND instr(bytes, CAST(? AS BLOB)) > 0"
        " ORDER BY sequence DESC",
        (kind, name),
    )
    for row in rows:
        record = _parsed(row)
        said: Any = record.payload.get(field)
        if name == said or (isinstance(said, list) and name in said):
            return record
    return None


def _erasures_forgotten(connection: sqlite3.Connection, kind: str, sequence: int) -> bool:
    """Tell whether a record of an erasure that came after a place in the log was disposed of since:
    it may have told the end of what is missing, so nobody is said to have taken it away."""
    found = connection.execute(
        "SELECT 1 FROM log WHERE kind = ? AND sequence > ? AND disposed_by IS NOT NULL LIMIT 1",
        (kind, sequence),
    ).fetchone()
    return found is not None
