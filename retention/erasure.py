"""Face material has ceilings: what may not be kept longer is erased, with a record (invariant 4).

Late deletion is the fault here, so the later of both clocks counts, and a clock that jumps delays
nothing that is there already. A hold delays no reference; it keeps sealed probes whose session it
covers, until it is released. Withdrawn consent erases at once (`retention.withdrawal`); what a hold
kept then, and what an attempt that was under way wrote a moment later, goes here. Whatever keeps
face material is named in `KEEPERS`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from retention import probe_files
from retention.policy import ceiling_days
from retention.records.keeping import FaceMaterial
from retention.store import holds, people, policies, probes, trusted
from retention.store.database import NodeStore


@dataclass(frozen=True, slots=True)
class Keeper:
    """Where face material lies. `any_due` and `erase` take now and the moment before which nothing
    that is still kept may have been made; `erase` records what it erases and returns its names.
    `after` takes these once the transaction is committed and the database overwritten."""

    material: FaceMaterial
    any_due: Callable[[sqlite3.Connection, datetime, datetime], bool]
    erase: Callable[[NodeStore, sqlite3.Connection, datetime, datetime], Sequence[str]]
    after: Callable[[NodeStore, Sequence[str]], object]


def _probes_due(connection: sqlite3.Connection, now: datetime, made_before: datetime) -> bool:
    if not probes.any_due(connection, made_before):
        return False
    standing = holds.resolve(connection)
    return standing is None or bool(probes.due(connection, made_before, standing))


def _erase_probes(
    store: NodeStore, connection: sqlite3.Connection, now: datetime, made_before: datetime
) -> Sequence[str]:
    """While what a hold on a person covers is still being looked for, it may cover anything: then
    nothing goes this time."""
    holds.read_on(connection)
    standing = holds.resolve(connection)
    if standing is None:
        return ()
    gone: list[str] = []
    for cause, receipts in probes.due(connection, made_before, standing).items():
        probes.erase(store, connection, receipts, cause)
        gone += receipts
    return gone


KEEPERS = (
    Keeper("face_reference", people.any_expired, people.erase_expired, lambda store, gone: None),
    Keeper("probe_crop", _probes_due, _erase_probes, probe_files.erase_all),
)


def erase_due(store: NodeStore) -> dict[FaceMaterial, int]:
    """Erase the face material whose end has come; returns how many things of each material that
    went. Raises StoreUnavailable."""
    erased = {keeper.material: _erase(store, keeper) for keeper in KEEPERS}
    try:
        if any(erased.values()):
            people.fold_wal(store)  # so that no older page keeps what was overwritten
    finally:
        for keeper in KEEPERS:
            keeper.after(store, erased[keeper.material])
    return {material: len(gone) for material, gone in erased.items() if gone}


def _erase(store: NodeStore, keeper: Keeper) -> Sequence[str]:
    with store.read() as connection:
        if not keeper.any_due(connection, *_bounds(store, connection, keeper.material)):
            return ()
    with store.write() as connection:
        return keeper.erase(store, connection, *_bounds(store, connection, keeper.material))


def _bounds(
    store: NodeStore, connection: sqlite3.Connection, material: FaceMaterial
) -> tuple[datetime, datetime]:
    """Return now, and the moment before which nothing may have been made."""
    now = max(store.clock.now(), trusted.passed(connection, store.clock))
    days = ceiling_days(material, policies.adopted(connection), now)
    return now, now - timedelta(days=days)
