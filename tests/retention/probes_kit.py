"""Sealed probes for tests: people with consent, and evidence of decisions about them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from retention import probe_files
from retention.keyfiles import KeyDirectory
from retention.keysources import FileKeys
from retention.probe_files import Bound
from retention.records.keeping import HoldReleased
from retention.records.payloads import ConsentGiven
from retention.store import holds, people, probes
from retention.store.database import NodeStore

PERSON, OTHER = "a" * 64, "b" * 64
EVIDENCE = b"what a decision rests on, long enough to be found again"


def give_consent(store: NodeStore, person_ref: str = PERSON) -> str:
    given = ConsentGiven(
        consent=store.ids.new(),
        person_ref=person_ref,
        purpose="face_verification",
        notice_version="1",
        method="signed",
        operator="op",
    )
    with store.write() as connection:
        people.give_consent(store, connection, given, counter="c1")
    return given.consent


def withdraw(store: NodeStore, consent: str) -> None:
    """Withdraw as the record says it, erasing references alone."""
    with store.write() as connection:
        found = people.read_consent(connection, consent)
        assert found is not None
        people.withdraw_consent(store, connection, found, counter="c1")


def keys_of(store: NodeStore) -> FileKeys:
    return FileKeys(KeyDirectory(store.path.parent / "keys"))


def keep_probe(store: NodeStore, person_ref: str = PERSON, session: str | None = None) -> str:
    """Seal evidence and write its row; returns the receipt."""
    receipt, session = store.ids.new(), session or store.ids.new()
    bound = Bound(receipt, session, person_ref, hashlib.sha256(EVIDENCE).hexdigest())
    data_key, key = probe_files.fresh_key(), keys_of(store).newest()
    content = probe_files.seal(EVIDENCE, data_key, bound)
    probe_files.write(folder(store), receipt, content)
    nonce, wrapped = probe_files.wrap(data_key, receipt, session, key)
    row = probes.Probe(
        receipt, session, person_ref, store.clock.now(), key.key_id, nonce, wrapped, len(content)
    )
    with store.write() as connection:
        probes.insert(connection, row)
    return receipt


def folder(store: NodeStore) -> Path:
    return probe_files.folder_of_store(store)


def files(store: NodeStore) -> list[str]:
    return sorted(probe_files.names_in(folder(store)))


def rows(store: NodeStore) -> list[str]:
    with store.read() as connection:
        return sorted(probes.receipts(connection))


def open_probe(store: NodeStore, receipt: str) -> bytes:
    """Open evidence as a replay does."""
    with store.read() as connection:
        row = probes.read(connection, receipt)
    assert row is not None
    key = keys_of(store).by_id(row.key_id)
    assert key is not None
    data_key = probe_files.unwrap(row.nonce, row.wrapped, receipt, row.session, key)
    digest = hashlib.sha256(EVIDENCE).hexdigest()
    bound = Bound(receipt, row.session, row.person_ref, digest)
    return probe_files.open_sealed((folder(store) / receipt).read_bytes(), data_key, bound)


def release(store: NodeStore, hold: str) -> None:
    released = HoldReleased(hold=hold, authority="inspector", author="i", reason="over")
    with store.write() as connection:
        assert holds.release(store, connection, released) == "released"
