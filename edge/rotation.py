"""A new key for references and probes, beside a running node.

Small transactions seal references again and wrap probe keys again; each is whole by itself, so a
kill at any point leaves every row under a key that is there, and the next run goes on. A running
node asks for keys at each use and seals inside its own write transaction: from the moment that the
new key exists nothing new comes under an old one. An old key is destroyed inside a write
transaction that sees no row under it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge.verifier.references import sealed_of
from identity.errors import ReferenceUnreadable
from identity.references import reseal
from retention import probe_files
from retention.keysources import ReferenceKeys, SecretKey
from retention.probe_files import ProbeUnreadable
from retention.store import people, probes, rekeying
from retention.store.database import NodeStore

ROWS_AT_ONCE = 50


@dataclass(slots=True)
class Rotated:
    """What a rotation came to. `damaged` rows do not open under their own key, `key_missing` rows
    are under a key that is not there: both stay as they are. `kept` are old keys that rows still
    name, `to_take_away` those that nothing needs and only their owner can destroy."""

    key_id: str
    references: int = 0
    probes: int = 0
    damaged: int = 0
    key_missing: int = 0
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    to_take_away: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return not (self.damaged or self.key_missing or self.kept)

    @property
    def idle(self) -> bool:
        """Nothing moved although old keys are kept: there was nothing left that could."""
        return bool(self.kept) and not (self.references or self.probes or self.removed)


def rotate(store: NodeStore, keys: ReferenceKeys, progress: Callable[[Rotated], None]) -> Rotated:
    """Seal everything under a new key, or go on where a rotation was broken off. One that left only
    what does not open was at its end: then this is the next, under a further key.

    Raises KeyRefused, StoreUnavailable, OSError.
    """
    done = _seal_under(store, keys, keys.begin_rotation(), progress)
    if done.idle:
        done = _seal_under(store, keys, keys.begin_rotation(anew=True), progress)
    return done


def _seal_under(
    store: NodeStore,
    keys: ReferenceKeys,
    target: SecretKey,
    progress: Callable[[Rotated], None],
) -> Rotated:
    done = Rotated(target.key_id)
    _references(store, keys, target, done, progress)
    _probes(store, keys, target, done, progress)
    people.fold_wal(store)
    for key in keys.all():
        if key.key_id != target.key_id:
            _let_go(store, keys, key.key_id, done)
    return done


def _references(
    store: NodeStore,
    keys: ReferenceKeys,
    target: SecretKey,
    done: Rotated,
    progress: Callable[[Rotated], None],
) -> None:
    after = ""
    while True:
        with store.write() as connection:
            rows = rekeying.not_under(connection, target.key_id, after, ROWS_AT_ONCE)
            moved: Counter[str] = Counter()
            for row in rows:
                moved[row.key_id] += _reference(connection, keys, row, target, done)
            for key_id, count in sorted(moved.items()):
                if count:
                    rekeying.record_rekeyed(store, connection, key_id, target.key_id, count)
        if not rows:
            return
        done.references += moved.total()
        after = rows[-1].id
        progress(done)


def _reference(
    connection: sqlite3.Connection,
    keys: ReferenceKeys,
    row: people.Reference,
    target: SecretKey,
    done: Rotated,
) -> int:
    key = keys.by_id(row.key_id)
    if key is None:
        done.key_missing += 1
        return 0
    try:
        again = reseal(sealed_of(row), key.secret, target.secret, target.key_id)
    except ReferenceUnreadable:
        done.damaged += 1
        return 0
    fresh = replace(row, key_id=again.key_id, nonce=again.nonce, sealed=again.ciphertext)
    rekeying.reseal(connection, fresh)
    return 1


def _probes(
    store: NodeStore,
    keys: ReferenceKeys,
    target: SecretKey,
    done: Rotated,
    progress: Callable[[Rotated], None],
) -> None:
    after = ""
    while True:
        with store.write() as connection:
            rows = probes.not_under(connection, target.key_id, after, ROWS_AT_ONCE)
            moved = sum(_probe(connection, keys, row, target, done) for row in rows)
        if not rows:
            return
        done.probes += moved
        after = rows[-1].receipt
        progress(done)


def _probe(
    connection: sqlite3.Connection,
    keys: ReferenceKeys,
    row: probes.Probe,
    target: SecretKey,
    done: Rotated,
) -> int:
    key = keys.by_id(row.key_id)
    if key is None:
        done.key_missing += 1
        return 0
    try:
        data_key = probe_files.unwrap(row.nonce, row.wrapped, row.receipt, row.session, key)
    except ProbeUnreadable:
        done.damaged += 1
        return 0
    nonce, wrapped = probe_files.wrap(data_key, row.receipt, row.session, target)
    probes.rewrap(connection, row.receipt, target.key_id, nonce, wrapped)
    return 1


def _let_go(store: NodeStore, keys: ReferenceKeys, key_id: str, done: Rotated) -> None:
    """Destroy an old key if no row needs it; nothing can come under it meanwhile."""
    with store.write() as connection:
        if rekeying.count_under(connection, key_id) or probes.count_under(connection, key_id):
            done.kept.append(key_id)
        elif keys.remove(key_id):
            done.removed.append(key_id)
        else:
            done.to_take_away.append(key_id)
