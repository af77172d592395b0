"""The rows behind footage: open commands, which segments answer them, how each segment ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from central.collector.values import MessageRefused, NodeState
from central.tables import CommandRow, CommandSegment, Footage, Node, table_of
from retention.records.clock import from_text, to_micros
from retention.records.payloads import SegmentSealed
from retention.terms import wire
from retention.terms.commands import FootageCommand, SignedCommand

COMMANDS, FOOTAGE = table_of(CommandRow), table_of(Footage)
LINKS, NODES = table_of(CommandSegment), table_of(Node)


def open_commands(
    connection: Connection, nodes: tuple[str, ...], now: int
) -> list[tuple[str, str, SignedCommand]]:
    """Return (node, command id, command) of every command that still wants an answer.

    A node that never told its cameras is not asked for footage yet: what it offered would be
    refused as of a camera that nobody calls simulated, and the command would be over.
    """
    rows = connection.execute(
        select(COMMANDS.c.node, COMMANDS.c.command, COMMANDS.c.body)
        .join(NODES, NODES.c.node == COMMANDS.c.node)
        .where(
            NODES.c.status.is_not(None) | (COMMANDS.c.kind != "footage"),
            COMMANDS.c.node.in_(nodes),
            COMMANDS.c.concluded_at.is_(None),
            COMMANDS.c.expires_at > now,
        )
        .order_by(COMMANDS.c.issued_at)
    )
    return [(row.node, row.command, _signed(row.body)) for row in rows]


def open_footage(
    connection: Connection, node: NodeState, command: str, now: int
) -> tuple[FootageCommand, int]:
    """Return a footage command of this node that is open, and when it expires. Raises
    MessageRefused."""
    signed, expires_at = open_command(connection, node, command, now)
    if not isinstance(signed.command, FootageCommand):
        raise MessageRefused("COMMAND_UNKNOWN", f"command {command} asks for no footage")
    return signed.command, expires_at


def open_command(
    connection: Connection, node: NodeState, command: str, now: int
) -> tuple[SignedCommand, int]:
    """Return a command of this node that is open, and when it expires. Raises MessageRefused."""
    row = connection.execute(
        select(COMMANDS.c.body, COMMANDS.c.expires_at, COMMANDS.c.concluded_at).where(
            COMMANDS.c.command == command, COMMANDS.c.node == node.node
        )
    ).one_or_none()
    if row is None:
        raise MessageRefused("COMMAND_UNKNOWN", f"no command {command} for this node")
    if row.concluded_at is not None or row.expires_at <= now:
        raise MessageRefused("COMMAND_CLOSED", f"command {command} is concluded or expired")
    return _signed(row.body), row.expires_at


def conclude(
    connection: Connection,
    node: NodeState,
    done: wire.CommandDone,
    outcome: str,
    detail: str | None,
    now: int,
) -> None:
    """End a command of this node, unless it ended before."""
    connection.execute(
        update(COMMANDS)
        .where(
            COMMANDS.c.command == done.command,
            COMMANDS.c.node == node.node,
            COMMANDS.c.concluded_at.is_(None),
        )
        .values(outcome=outcome, detail=detail, segments_offered=done.segments, concluded_at=now)
    )


def kind_of(connection: Connection, node: NodeState, command: str) -> str | None:
    """Return what kind of command this is, if it is one of this node."""
    found: str | None = connection.execute(
        select(COMMANDS.c.kind).where(COMMANDS.c.command == command, COMMANDS.c.node == node.node)
    ).scalar_one_or_none()
    return found


def count_accepted(connection: Connection, node: NodeState, command: str) -> int:
    """Return how many segments were accepted for a command."""
    joined = LINKS.join(
        FOOTAGE, (LINKS.c.segment == FOOTAGE.c.segment) & (LINKS.c.node == FOOTAGE.c.node)
    )
    found: int = connection.execute(
        select(func.count())
        .select_from(joined)
        .where(
            LINKS.c.command == command,
            FOOTAGE.c.node == node.node,
            FOOTAGE.c.state == "accepted",
        )
    ).scalar_one()
    return found


def link(connection: Connection, node: NodeState, offer: wire.SegmentOffer, segment: str) -> None:
    """Write down that a segment answers a command."""
    known = connection.execute(
        select(LINKS.c.segment).where(LINKS.c.command == offer.command, LINKS.c.segment == segment)
    ).first()
    if known is not None:
        return
    connection.execute(
        insert(LINKS).values(
            agency=node.agency, pharmacy=node.pharmacy, node=node.node,
            command=offer.command, segment=segment, ordinal=offer.ordinal,
        )
    )  # fmt: skip
    connection.execute(
        update(COMMANDS)
        .where(COMMANDS.c.command == offer.command)
        .values(segments_offered=offer.total)
    )


def find(connection: Connection, node: NodeState, segment: str) -> Row[*tuple[Any, ...]] | None:
    """Return state, size_bytes, reason and record of a segment that was offered before."""
    return connection.execute(
        select(FOOTAGE.c.state, FOOTAGE.c.size_bytes, FOOTAGE.c.reason, FOOTAGE.c.record).where(
            FOOTAGE.c.node == node.node, FOOTAGE.c.segment == segment
        )
    ).one_or_none()


def insert_receiving(
    connection: Connection,
    node: NodeState,
    sealed: SegmentSealed,
    sequence: int,
    offer: wire.SegmentOffer,
    blobs: tuple[bytes, ...],
) -> None:
    """Write down a segment of which bytes may come now, with its record and proof."""
    connection.execute(
        insert(FOOTAGE).values(
            agency=node.agency,
            pharmacy=node.pharmacy,
            node=node.node,
            segment=sealed.segment,
            camera=sealed.camera,
            scene_role=sealed.scene_role,
            started_at=to_micros(from_text(sealed.started_at)),
            ended_at=to_micros(from_text(sealed.ended_at)),
            sequence=sequence,
            tree_size=offer.tree_size,
            size_bytes=sealed.bytes,
            file_sha256=sealed.file_sha256,
            chunk_root=sealed.chunk_root,
            record=blobs[0],
            proof=blobs[1],
            state="receiving",
        )
    )


def set_state(
    connection: Connection,
    node: NodeState,
    segment: str,
    state: str,
    *,
    reason: str | None = None,
    path: str | None = None,
    concluded_at: int | None = None,
) -> None:
    """Change where a segment stands; `path` is relative to the footage root."""
    connection.execute(
        update(FOOTAGE)
        .where(FOOTAGE.c.node == node.node, FOOTAGE.c.segment == segment)
        .values(state=state, reason=reason, path=path, concluded_at=concluded_at)
    )


def _signed(body: bytes) -> SignedCommand:
    return SignedCommand.model_validate_json(body)
