"""The node's database as the uplink machine sees it. Every change is one durable transaction."""

from __future__ import annotations

from retention.records.checkpoint import SignedCheckpoint, SignedCountersignature
from retention.records.merkle import Frontier
from retention.records.signing import Signer
from retention.store import uplink
from retention.store.database import NodeStore
from retention.store.log import leaves


class StoreLog:
    """Implements `edge.uplink.machine.UplinkLog` over a NodeStore."""

    def __init__(self, store: NodeStore, signer: Signer) -> None:
        self._store, self._signer = store, signer
        self._reached = Frontier()  # of the last piece; the log never changes below it

    def size(self) -> uplink.LogSize:
        with self._store.read() as connection:
            return uplink.log_size(connection)

    def records(self, first: int, limit: int) -> list[bytes]:
        with self._store.read() as connection:
            return uplink.unsent_bytes(connection, first, limit)

    def disposed_by(self, sent_sequence: int) -> int | None:
        with self._store.read() as connection:
            return uplink.disposed_by(connection, sent_sequence)

    def note_acked(self, expected_sent: int) -> None:
        with self._store.read() as connection:
            known = uplink.acked_sent(connection)
        if known < expected_sent:
            with self._store.write() as connection:
                uplink.note_acked(connection, expected_sent)

    def make_checkpoint_if_grown(self) -> None:
        """Sign the log as it is now, unless the newest checkpoint already covers it."""
        with self._store.read() as connection:
            size = uplink.log_size(connection).tree_size
            covered = uplink.last_checkpoint_size(connection)
        if size > covered:
            with self._store.write() as connection:
                uplink.make_checkpoint(self._store, connection, self._signer)

    def newest_checkpoint(self, above: int) -> SignedCheckpoint | None:
        with self._store.read() as connection:
            return uplink.newest_checkpoint(connection, above)

    def checkpoint_at(self, size: int) -> SignedCheckpoint:
        """Sign an earlier size. The hashing is done before the log is locked for writing, and goes
        on from the piece before."""
        start = self._reached if self._reached.size <= size else Frontier()
        with self._store.read() as connection:
            frontier = uplink.frontier_at(connection, start, size)
        with self._store.write() as connection:
            signed = uplink.make_checkpoint_at(self._store, connection, self._signer, frontier)
        self._reached = frontier
        return signed

    def checkpoint_root(self, tree_size: int) -> str | None:
        with self._store.read() as connection:
            return uplink.checkpoint_root(connection, tree_size)

    def leaves(self, first: int, size: int) -> bytes:
        with self._store.read() as connection:
            return b"".join(leaves(connection, first, size))

    def keep_countersignature(self, signed: SignedCountersignature) -> None:
        with self._store.write() as connection:
            uplink.keep_countersignature(connection, signed)

    def note_incident(self, incident: str, subject: str, detail: str) -> None:
        with self._store.write() as connection:
            uplink.note_incident(self._store, connection, incident, subject, detail)
