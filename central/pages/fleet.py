"""What central knows of each node, judged: what must not go on, what needs a look, what is unknown.

A node's status is live state. It is believed while it is fresh; older, everything in it is shown as
what was true then and counts as unknown, never as good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, select

from central.days import day_of
from central.tables import CheckpointRow, Flag, Gap, Node, WireIncident, table_of
from retention.records.clock import from_text, to_micros
from retention.terms.wire import Status

NODES, CHECKPOINTS, INCIDENTS = table_of(Node), table_of(CheckpointRow), table_of(WireIncident)
FLAGS, GAPS = table_of(Flag), table_of(Gap)
AnyRow = Row[*tuple[Any, ...]]
State = Literal["online", "silent", "never", "revoked"]
Level = Literal["stop", "look", "ok", "unknown"]

SECOND_US = 1_000_000
FRESH_US = 60 * SECOND_US  # a node that is online tells its status every five seconds
LONG_US = 900 * SECOND_US  # shorter silences come and go with a network
OLD_US = 3600 * SECOND_US  # a record that waits so long, a checkpoint so old, needs a look
CLOCK_LIMIT_MS = 5000
DISK_LOOK_DAYS, DISK_STOP_DAYS = 90, 30
STEADY = "steady"


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera by its node's last status. `state` is what it was then."""

    camera: str
    scene_role: str
    state: str
    last_sealed_at: int | None
    simulated: bool


@dataclass(frozen=True, slots=True)
class Live:
    """A node's last status, and when it came. `fresh`: it still tells of now."""

    received_at: int
    fresh: bool
    cameras: tuple[Camera, ...]
    backlog: int
    oldest_unsent_at: int | None
    clock_state: str
    clock_offset_ms: int
    disk_free_bytes: int
    disk_days: int | None


@dataclass(frozen=True, slots=True)
class NodeCard:
    """One node as the list shows it. `warnings` are codes, the worst first, each with a level."""

    row: AnyRow
    state: State
    live: Live | None
    checkpoint_at: int | None
    incidents: int
    gaps_open: int
    warnings: tuple[tuple[str, Level], ...]

    @property
    def node(self) -> str:
        return str(self.row.node)

    @property
    def key(self) -> str:
        """Return what tells its row in a page apart; an id may hold what an attribute may not."""
        return hashlib.sha256(self.node.encode()).hexdigest()[:16]

    @property
    def level(self) -> Level:
        """Return the worst level; a node that is not there to tell is unknown at best."""
        levels = {level for _, level in self.warnings}
        for level in ("stop", "look"):
            if level in levels:
                return level
        return "ok" if self.state == "online" and self.live is not None else "unknown"


def cards(connection: Connection, now: int, node: str | None = None) -> list[NodeCard]:
    """Return all nodes, or one, worst first."""
    query = select(NODES)
    if node is not None:
        query = query.where(NODES.c.node == node)
    seen = _by_node(connection, select(CHECKPOINTS.c.node, func.max(CHECKPOINTS.c.seen_at)), node)
    wire = _by_node(connection, select(INCIDENTS.c.node, func.count()), node)
    told = _by_node(
        connection,
        select(FLAGS.c.node, func.count()).where(
            FLAGS.c.cleared_at.is_(None), FLAGS.c.code.in_(NODE_FLAGS)
        ),
        node,
    )
    gaps = _by_node(
        connection, select(GAPS.c.node, func.count()).where(GAPS.c.ended_at.is_(None)), node
    )
    made = [
        card_of(
            row,
            now,
            checkpoint_at=seen.get(row.node),
            incidents=wire.get(row.node, 0) + told.get(row.node, 0),
            attacks=wire.get(row.node, 0),
            gaps_open=gaps.get(row.node, 0),
        )
        for row in connection.execute(query)
    ]
    return sorted(made, key=rank)


NODE_FLAGS = (
    "BREACH", "INCIDENT", "CLOCK_JUMPED", "PAYLOAD_UNREADABLE", "ALARM", "VIEW_UNUSABLE",
    "INDEX_REBUILT",
)  # fmt: skip
"""Flags that are about a node and not about one session."""


def _by_node(connection: Connection, query: Any, node: str | None) -> dict[str, int]:
    column = query.selected_columns[0]
    if node is not None:
        query = query.where(column == node)
    return {row[0]: row[1] for row in connection.execute(query.group_by(column))}


def card_of(
    row: AnyRow,
    now: int,
    *,
    checkpoint_at: int | None = None,
    incidents: int = 0,
    attacks: int = 0,
    gaps_open: int = 0,
) -> NodeCard:
    """Judge one node by its row and its counts."""
    state = state_of(row, now)
    live = live_of(row, now)
    warnings = _warnings(row, now, state, live, checkpoint_at)
    if attacks:
        warnings.append(("wire", "stop"))
    elif incidents:
        warnings.append(("incidents", "look"))
    warnings.sort(key=lambda warning: ORDER.index(warning[0]))
    return NodeCard(
        row=row,
        state=state,
        live=live,
        checkpoint_at=checkpoint_at,
        incidents=incidents,
        gaps_open=gaps_open,
        warnings=() if state == "revoked" else tuple(warnings),
    )


ORDER = (
    "wire", "silent", "camera", "disk", "clock", "backlog", "checkpoint", "projection",
    "incidents", "unread", "never",
)  # fmt: skip
"""Warnings from the worst on; a list of nodes has this order."""


def rank(card: NodeCard) -> tuple[int, int, str]:
    """Order nodes worst first; those that are revoked come last."""
    if card.state == "revoked":
        return (9, 0, card.node)
    levels: Sequence[Level] = ("stop", "look", "unknown", "ok")
    first = ORDER.index(card.warnings[0][0]) if card.warnings else len(ORDER)
    return (levels.index(card.level), first, card.node)


def state_of(row: AnyRow, now: int) -> State:
    """Return whether a node talks to central."""
    if row.revoked_at is not None:
        return "revoked"
    if row.last_seen is None:
        return "never"
    return "online" if now - row.last_seen < FRESH_US else "silent"


def live_of(row: AnyRow, now: int) -> Live | None:
    """Return a node's last status; None when there is none, or none that can be read."""
    if row.status is None:
        return None
    received_at = row.status_received_at or row.last_seen or row.enrolled_at
    try:
        status = Status.model_validate_json(row.status)
        return _live(status, received_at, row.revoked_at is None and now - received_at < FRESH_US)
    except ValueError:  # pydantic's is one too
        return None


def _live(status: Status, received_at: int, fresh: bool) -> Live:
    per_day = status.bytes_per_day
    # Only the node knows what it may dispose of meanwhile; the rest is for those that do not say.
    days = None if not per_day else status.disk_free_bytes // per_day
    return Live(
        received_at=received_at,
        fresh=fresh,
        cameras=tuple(
            Camera(
                one.camera, one.scene_role, one.state, _moment(one.last_sealed_at), one.simulated
            )
            for one in status.cameras
        ),
        backlog=status.backlog,
        oldest_unsent_at=_moment(status.oldest_unsent_at),
        clock_state=status.clock_state,
        clock_offset_ms=(to_micros(from_text(status.occurred_at)) - received_at) // 1000,
        disk_free_bytes=status.disk_free_bytes,
        disk_days=days if status.disk_days is None else status.disk_days,
    )


def _moment(text: str | None) -> int | None:
    """Return a moment that a page can show. Raises ValueError."""
    if text is None:
        return None
    found = to_micros(from_text(text))
    day_of(found)
    return found


def _warnings(
    row: AnyRow, now: int, state: State, live: Live | None, checkpoint_at: int | None
) -> list[tuple[str, Level]]:
    found: list[tuple[str, Level]] = []
    if state in ("silent", "never"):
        long = state == "silent" and now - row.last_seen > LONG_US
        found.append((state, "stop" if long else "look"))
    if row.status is not None and live is None:
        found.append(("unread", "look"))
    if row.expected_sent - row.projected_sent > 1000:
        found.append(("projection", "look"))
    grown = row.tree_sent < row.expected_sent
    if grown and now - (checkpoint_at or row.enrolled_at) > OLD_US:
        found.append(("checkpoint", "look"))
    return found + ([] if live is None else _live_warnings(live, now))


def _live_warnings(live: Live, now: int) -> list[tuple[str, Level]]:
    found: list[tuple[str, Level]] = []
    if live.fresh and any(camera.state == "down" for camera in live.cameras):
        found.append(("camera", "stop"))
    if live.disk_days is not None and live.disk_days < DISK_LOOK_DAYS:
        found.append(("disk", "stop" if live.disk_days < DISK_STOP_DAYS else "look"))
    if live.clock_state != STEADY or abs(live.clock_offset_ms) > CLOCK_LIMIT_MS:
        found.append(("clock", "look"))
    if live.oldest_unsent_at is not None and now - live.oldest_unsent_at > OLD_US:
        found.append(("backlog", "look"))
    return found
