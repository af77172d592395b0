"""Withdrawn consent: face material is gone at once, and anyone can check that it was recorded.

References go always, whatever holds stand. Sealed probes go unless a hold covers their session;
those that it keeps go when it is released (`retention.erasure`). The proof is the records of the
erasure, each with its audit path in the node's log (RFC 9162) under a signed checkpoint: it shows
that they were written and cannot be taken back, not that no copy exists elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from retention import probe_files
from retention.records.checkpoint import SignedCheckpoint
from retention.records.envelope import parse_record
from retention.records.errors import MalformedRecord, ProofRejected
from retention.records.fields import Count, Digest, Frozen
from retention.records.merkle import leaf_hash, verify_inclusion
from retention.records.people import ProbesErased
from retention.records.signing import Context, Signer, verify_signature
from retention.store import holds, people, probes
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.log import by_sequence, read_frontier
from retention.store.people import ConsentMissing
from retention.store.proofs import LogTree
from retention.store.reserve import reserve_of
from retention.store.uplink import make_checkpoint

MOST_RECORDS = 5000


class ProvenRecord(Frozen):
    """A record of the log as its canonical JSON, and its audit path (hex) to the root."""

    sequence: Count
    record: Annotated[str, Field(max_length=65_536)]
    path: Annotated[tuple[Digest, ...], Field(max_length=64)]


class ErasureProof(Frozen):
    """Records of an erasure in a log of `tree_size` leaves; the checkpoint signs size and root."""

    tree_size: Count
    root_hash: Digest
    checkpoint: SignedCheckpoint | None
    records: Annotated[tuple[ProvenRecord, ...], Field(max_length=MOST_RECORDS)]


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a withdrawal came to. `probes` are the receipts whose evidence went, `probes_held` how
    many a hold keeps. `proof` also covers what an earlier withdrawal of the same consent erased."""

    consent: str
    person_ref: str
    withdrawn_at: datetime
    references: tuple[str, ...]
    probes: tuple[str, ...]
    probes_held: int
    proof: ErasureProof


def withdraw(
    store: NodeStore, consent_id: str, signer: Signer, *, counter: str | None
) -> Withdrawn:
    """Withdraw a consent and erase what it allowed; a second time erases nothing more.

    On a full disk the database's reserve makes room for it, at once. Raises ConsentMissing,
    StoreUnavailable. A file that cannot be removed is swept by the custodian: its key is gone.
    """
    reserved = not reserve_of(store.path).given_up
    try:
        gone = _erase(store, consent_id, signer, counter)
    except StoreUnavailable:
        if not (reserved and reserve_of(store.path).given_up):
            raise
        gone = _erase(store, consent_id, signer, counter)
    try:
        people.fold_wal(store)
    finally:  # the custodian folds again
        probe_files.erase_all(store, gone.probes)
    with store.read() as connection:
        after = people.read_consent(connection, consent_id)
        if after is None or after.withdrawn_at is None:
            raise ConsentMissing(consent_id)  # its row cannot have gone: none is ever deleted
        sequences = _told_of(connection, after.person_ref, consent_id, gone.probes)
        proof = prove(connection, sequences)
    return Withdrawn(
        consent=consent_id,
        person_ref=after.person_ref,
        withdrawn_at=after.withdrawn_at,
        references=gone.references,
        probes=gone.probes,
        probes_held=gone.probes_held,
        proof=proof,
    )


@dataclass(frozen=True, slots=True)
class _Gone:
    references: tuple[str, ...]
    probes: tuple[str, ...]
    probes_held: int


def _erase(store: NodeStore, consent_id: str, signer: Signer, counter: str | None) -> _Gone:
    """Erase and record it, in one transaction. Raises ConsentMissing, StoreUnavailable."""
    with store.write() as connection:
        consent = people.read_consent(connection, consent_id)
        if consent is None:
            raise ConsentMissing(consent_id)
        references: tuple[str, ...] = ()
        if consent.withdrawn_at is None:
            references = people.withdraw_consent(store, connection, consent, counter=counter)
        erased, held = _erase_probes(store, connection, consent.person_ref)
        make_checkpoint(store, connection, signer)
    return _Gone(references, erased, held)


def _erase_probes(
    store: NodeStore, connection: sqlite3.Connection, person_ref: str
) -> tuple[tuple[str, ...], int]:
    """Erase the rows of a person's probes; returns the receipts and how many are held. While what
    a hold covers is still being looked for, it may cover any of them: the custodian goes on."""
    found = probes.of_person(connection, person_ref)
    holds.read_on(connection)
    standing = holds.resolve(connection)
    free = [one for one in found if standing is not None and not probes.is_held(one, standing)]
    gone = tuple(probe.receipt for probe in free)
    probes.erase(store, connection, gone, "consent_withdrawn")
    return gone, len(found) - len(gone)


# -- the proof ------------------------------------------------------------------------------------


def prove(connection: sqlite3.Connection, sequences: Iterable[int]) -> ErasureProof:
    """Return records with their audit paths, under the newest checkpoint if it covers them."""
    wanted = sorted(sequences)[:MOST_RECORDS]
    checkpoint = _newest_checkpoint(connection)
    if checkpoint is not None and wanted and checkpoint.checkpoint.tree_size <= wanted[-1]:
        checkpoint = None
    frontier, _ = read_frontier(connection)
    size = frontier.size if checkpoint is None else checkpoint.checkpoint.tree_size
    tree = LogTree(connection, size)
    return ErasureProof(
        tree_size=size,
        root_hash=tree.root().hex(),
        checkpoint=checkpoint,
        records=tuple(
            ProvenRecord(
                sequence=sequence,
                record=by_sequence(connection, sequence).raw.decode(),
                path=tuple(step.hex() for step in tree.inclusion(sequence)),
            )
            for sequence in wanted
        ),
    )


def check_proof(proof: ErasureProof, public_key: bytes | None = None) -> None:
    """Check a proof away from the node, with the node's public key if it is known. Raises
    ProofRejected saying what does not hold."""
    root = bytes.fromhex(proof.root_hash)
    for one in proof.records:
        raw = one.record.encode()
        try:
            record = parse_record(raw)
        except MalformedRecord as exc:
            raise ProofRejected(f"record {one.sequence}: {exc}") from exc
        # (1) the record says where it stands, and (2) stands there in the tree
        if record.sequence != one.sequence:
            raise ProofRejected(f"record {one.sequence} says it is {record.sequence}")
        path = [bytes.fromhex(step) for step in one.path]
        verify_inclusion(leaf_hash(raw), one.sequence, proof.tree_size, path, root)
    # (3) the node signed this size and root
    if proof.checkpoint is None:
        if public_key is not None:
            raise ProofRejected("no signed checkpoint covers these records yet")
        return
    said = proof.checkpoint.checkpoint
    if (said.tree_size, said.root_hash) != (proof.tree_size, proof.root_hash):
        raise ProofRejected("the checkpoint is of another tree")
    if public_key is not None:
        verify_signature(public_key, Context.CHECKPOINT, said, proof.checkpoint.signature)


def _told_of(
    connection: sqlite3.Connection, person_ref: str, consent: str, gone: Sequence[str]
) -> list[int]:
    """Return the records of everything that was erased for a person, and of the withdrawal."""
    erased = _said(connection, "reference.erased", "$.payload.person_ref")
    withdrawn = _said(connection, "consent.withdrawn", "$.payload.consent")
    theirs = set(gone) | _receipts_of(connection, person_ref)
    probes_gone = [
        (sequence, ProbesErased.model_validate_json(payload))
        for sequence, payload in _said(connection, "probes.erased", "$.payload")
    ]
    return [
        *(sequence for sequence, person in erased if person == person_ref),
        *(sequence for sequence, which in withdrawn if which == consent),
        *(
            sequence
            for sequence, said in probes_gone
            if said.cause == "consent_withdrawn" and not theirs.isdisjoint(said.receipts)
        ),
    ]


def _receipts_of(connection: sqlite3.Connection, person_ref: str) -> set[str]:
    """Return the receipts of decisions about a person, so that a proof that is asked for later also
    tells of evidence that went before, or that a hold kept then."""
    rows = connection.execute(
        "SELECT json_extract(CAST(bytes AS TEXT), '$.payload.receipt.receipt') FROM log"
        " WHERE kind = 'identity.decided' AND disposed_by IS NULL"
        " AND instr(bytes, CAST(? AS BLOB)) > 0",
        (f'"subject_ref":"{person_ref}"',),
    )
    return {str(row[0]) for row in rows}


def _said(connection: sqlite3.Connection, kind: str, path: str) -> list[tuple[int, str]]:
    """Return where records of a kind stand, and what each says at a path."""
    rows = connection.execute(
        "SELECT sequence, json_extract(CAST(bytes AS TEXT), ?) FROM log"
        " WHERE kind = ? AND disposed_by IS NULL ORDER BY sequence",
        (path, kind),
    )
    return [(int(sequence), str(said)) for sequence, said in rows]


def _newest_checkpoint(connection: sqlite3.Connection) -> SignedCheckpoint | None:
    row = connection.execute(
        "SELECT body FROM checkpoints ORDER BY tree_size DESC LIMIT 1"
    ).fetchone()
    return None if row is None else SignedCheckpoint.model_validate_json(row["body"])
