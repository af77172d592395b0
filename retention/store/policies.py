"""The SQL of retention policies. None is ever changed or removed: an item is owed what any policy
of its lifetime promised."""

from __future__ import annotations

import sqlite3

from retention.policy import AdoptedPolicy
from retention.records.canonical import canonical_bytes
from retention.records.clock import from_micros, from_text, to_micros
from retention.records.keeping import PolicyAdopted, RetentionPolicy
from retention.store import trusted
from retention.store.database import NodeStore, StoreError
from retention.store.log import append


class PolicyConflict(StoreError):
    """This version of the policy was adopted before, with other words."""

    def __init__(self, policy: str, version: int) -> None:
        super().__init__(f"policy {policy} version {version} was adopted before and says otherwise")
        self.policy, self.version = policy, version


def adopt(store: NodeStore, connection: sqlite3.Connection, adopted: PolicyAdopted) -> bool:
    """Take up a policy and append its record; False when the same was taken up before.

    Raises PolicyConflict: a version never changes its words, a new one is a new version.
    """
    policy = adopted.policy
    row = connection.execute(
        "SELECT body FROM policies WHERE policy = ? AND version = ?",
        (policy.policy, policy.version),
    ).fetchone()
    if row is not None:
        if RetentionPolicy.model_validate_json(row["body"]) != policy:
            raise PolicyConflict(policy.policy, policy.version)
        return False
    # Never earlier than what has surely passed: a policy that was adopted while the clock stood
    # back would otherwise seem to have replaced the one before it long ago.
    adopted_at = max(store.clock.now(), trusted.passed(connection, store.clock))
    connection.execute(
        "INSERT INTO policies VALUES (?, ?, ?, ?, ?)",
        (policy.policy, policy.version, to_micros(from_text(policy.effective_from)),
         to_micros(adopted_at), canonical_bytes(policy.model_dump(mode="json"))),
    )  # fmt: skip
    append(store, connection, adopted)
    return True


def adopted(connection: sqlite3.Connection) -> list[AdoptedPolicy]:
    """Return every policy that was ever adopted here, oldest first."""
    rows = connection.execute("SELECT body, adopted_at FROM policies ORDER BY adopted_at, rowid")
    return [
        AdoptedPolicy(
            RetentionPolicy.model_validate_json(row["body"]), from_micros(row["adopted_at"])
        )
        for row in rows
    ]
