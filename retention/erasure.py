"""Face material has ceilings: what may not be kept longer is erased, with a record (invariant 4).

Late deletion is the fault here, so the later of both clocks counts, a hold does not, and a clock
that jumped delays nothing. Withdrawn consent is not this module's: it erases at once
(`retention.store.people`). Probe crops are not kept by anything yet; their ceiling is in
`retention.policy.CEILINGS`, and whatever comes to keep them is named in `KEEPERS`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from retention.policy import ceiling_days
from retention.records.keeping import FaceMaterial
from retention.store import people, policies, trusted
from retention.store.database import NodeStore


@dataclass(frozen=True, slots=True)
class Keeper:
    """Where face material lies. Both functions take now and the moment before which nothing that
    is still kept may have been made; `erase` records what it erases and returns how much."""

    material: FaceMaterial
    any_due: Callable[[sqlite3.Connection, datetime, datetime], bool]
    erase: Callable[[NodeStore, sqlite3.Connection, datetime, datetime], int]


KEEPERS = (Keeper("face_reference", people.any_expired, people.erase_expired),)


def erase_due(store: NodeStore) -> int:
    """Erase the face material whose end has come; returns how many things. Raises
    StoreUnavailable."""
    erased = sum(_erase(store, keeper) for keeper in KEEPERS)
    if erased:
        people.fold_wal(store)  # so that no older page keeps what was overwritten
    return erased


def _erase(store: NodeStore, keeper: Keeper) -> int:
    with store.read() as connection:
        if not keeper.any_due(connection, *_bounds(store, connection, keeper.material)):
            return 0
    with store.write() as connection:
        return keeper.erase(store, connection, *_bounds(store, connection, keeper.material))


def _bounds(
    store: NodeStore, connection: sqlite3.Connection, material: FaceMaterial
) -> tuple[datetime, datetime]:
    """Return now, and the moment before which nothing may have been made."""
    now = max(store.clock.now(), trusted.passed(connection, store.clock))
    days = ceiling_days(material, policies.adopted(connection), now)
    return now, now - timedelta(days=days)
