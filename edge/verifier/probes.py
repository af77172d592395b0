"""Keeping what a decision rests on, sealed, so that it can be made again (`identity.replay`).

The file is durable before the decision's transaction begins, its key is written in it: a crash in
between leaves a file that nothing opens. The key is wrapped inside the transaction, by the newest
reference key of that moment, so a rotation that runs beside us can neither miss it nor take the
key away in between (`edge.rotation` removes keys under the same write lock).

Only who was told so: evidence is kept of a person whose newest standing consent was given under
words that say it, and those are the consents that carry the digest of their words.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from edge.config import EdgeConfig
from retention import probe_files
from retention.keysources import ReferenceKeys
from retention.probe_files import Bound
from retention.records.clock import Clock
from retention.store import people, probes
from retention.store.database import NodeStore, StoreUnavailable
from retention.store.reserve import reserve_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sealed file that waits for its row. `digest` (SHA-256, hex) belongs in the receipt.

    Exactly one of `insert` and `abandon` ends it.
    """

    bound: Bound
    size: int
    path: Path
    clock: Clock
    keys: ReferenceKeys
    data_key: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        return self.bound.digest

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write the row in the transaction that records the decision. Raises KeyRefused."""
        key, bound = self.keys.newest(), self.bound
        nonce, wrapped = probe_files.wrap(self.data_key, bound.receipt, bound.session, key)
        probe = probes.Probe(
            receipt=bound.receipt,
            session=bound.session,
            person_ref=bound.person_ref,
            made_at=self.clock.now(),
            key_id=key.key_id,
            nonce=nonce,
            wrapped=wrapped,
            size=self.size,
        )
        probes.insert(connection, probe)

    def abandon(self) -> None:
        """Remove the file: the decision that it was made for was not recorded with it. Raises
        StoreUnavailable; the custodian then sweeps it."""
        try:
            probe_files.erase(self.path)
        except OSError as exc:
            raise StoreUnavailable(f"{self.path}: {exc.strerror}") from exc


class ProbeKeeper:
    """Seals evidence under DATA/probes. Safe to share between threads."""

    def __init__(self, config: EdgeConfig, store: NodeStore, keys: ReferenceKeys) -> None:
        self._folder = probe_files.folder_of(config.node.data)
        self._store, self._keys = store, keys

    def prepare(
        self, receipt: str, session: str, person_ref: str, encoded: bytes
    ) -> Prepared | None:
        """Seal encoded evidence into a file that is on the disk when this returns; None when the
        person's consent does not cover keeping it: such a decision cannot be replayed.

        Raises StoreUnavailable when the disk does not take it, or when what is left of the disk is
        the database's: evidence is large, and would soon leave no room to record anything at all.
        """
        with self._store.read() as connection:
            consent = people.standing_consent(connection, person_ref, people.FACE_VERIFICATION)
        if consent is None or consent.notice_sha256 is None:
            return None
        if reserve_of(self._store.path).given_up:
            raise StoreUnavailable(f"{self._folder}: what is left of the disk is the database's")
        bound = Bound(receipt, session, person_ref, hashlib.sha256(encoded).hexdigest())
        data_key = probe_files.fresh_key()
        content = probe_files.seal(encoded, data_key, bound)
        try:
            path = probe_files.write(self._folder, receipt, content)
        except OSError as exc:
            raise StoreUnavailable(f"{self._folder}: {exc.strerror}") from exc
        return Prepared(bound, len(content), path, self._store.clock, self._keys, data_key)
