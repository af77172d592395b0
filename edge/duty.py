"""The pharmacists on duty at a node: what happened to them, applied to their rows.

Whoever learns something (the verifier by a look, the terminal by a secret, the custodian by time
alone) applies it here in one transaction: read the row, ask `identity.presence`, write what came of
it. So no process has to live for another one's word to count, and nobody stays present because the
one who looks has died.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3

import structlog

from identity import presence
from identity.presence import Event, Standing
from retention.records.clock import Clock
from retention.store import duty
from retention.store.database import NodeStore
from retention.store.duty import DutyRow
from retention.terms.presence import PresenceLimits

log = structlog.get_logger()
PURPOSE = "pharmacist_presence"
"""What a pharmacist consents to, apart from every other purpose."""


def pharmacist_ref(key: bytes, pharmacist: str) -> str:
    """Return the person_ref that a pharmacist's own reference is kept under. It is never that of a
    customer, whose documents have types of their own (edge.terminal.people)."""
    return hmac.new(key, f"pharmacist:{pharmacist}".encode(), hashlib.sha256).hexdigest()


def standing_of(row: DutyRow, clock: Clock) -> Standing:
    """Return what the presence machine knows of a pharmacist on duty."""
    seen_ns = row.seen_ns if row.boot_id == clock.boot_id() else None
    return Standing(row.method, row.state, seen_ns, row.missed, row.reasons)


def apply(
    store: NodeStore,
    connection: sqlite3.Connection,
    row: DutyRow,
    event: Event,
    limits: PresenceLimits,
) -> None:
    """Write what an event makes of a pharmacist on duty, in the caller's transaction."""
    before = standing_of(row, store.clock)
    then = presence.after(before, event, store.clock.monotonic_ns(), limits)
    if then == before:
        return
    duty.change(
        store,
        connection,
        row,
        method=then.method,
        state=then.state,
        missed=then.missed,
        reasons=then.reasons,
        seen=then.seen_ns is not None and then.seen_ns != before.seen_ns,
    )


def lapse(store: NodeStore, limits: PresenceLimits) -> int:
    """Let time pass for everybody on duty; return how many it changed. Raises StoreUnavailable.

    Reads first, so that nothing is written while nothing changes. A revoked credential is signed
    out, and so is who was forgotten.
    """
    with store.read() as connection:
        due = [
            row for row in duty.on_duty(connection) if _would_change(store, connection, row, limits)
        ]
    changed = 0
    for known in due:
        with store.write() as connection:
            row = duty.read(connection, known.pharmacist)
            if row is not None and _would_change(store, connection, row, limits):
                _let_pass(store, connection, row, limits)
                changed += 1
    return changed


def _would_change(
    store: NodeStore, connection: sqlite3.Connection, row: DutyRow, limits: PresenceLimits
) -> bool:
    now_ns, standing = store.clock.monotonic_ns(), standing_of(row, store.clock)
    return (
        not duty.is_credential(connection, row.pharmacist)
        or presence.is_forgotten(standing, now_ns)
        or presence.after(standing, presence.Passed(), now_ns, limits) != standing
    )


def _let_pass(
    store: NodeStore, connection: sqlite3.Connection, row: DutyRow, limits: PresenceLimits
) -> None:
    now_ns, standing = store.clock.monotonic_ns(), standing_of(row, store.clock)
    if not duty.is_credential(connection, row.pharmacist):
        duty.sign_out(store, connection, row, "revoked")
    elif presence.is_forgotten(standing, now_ns):
        duty.sign_out(store, connection, row, "expired")
    else:
        apply(store, connection, row, presence.Passed(), limits)
