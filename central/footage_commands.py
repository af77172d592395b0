"""Asking a node for the footage of a session: one signed command, delivered by the collector."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from central.commands import COMMANDS, store
from central.config import FootageConfig
from retention.records.clock import from_micros, to_text
from retention.records.signing import Signer
from retention.terms.commands import FootageCommand


def issue(
    connection: Connection,
    session: Row[*tuple[Any, ...]],
    config: FootageConfig,
    signer: Signer,
    *,
    command_id: str,
    actor: str,
    reason: str,
    cameras: tuple[str, ...],
    now: int,
) -> FootageCommand:
    """Sign and store a command for the owed span of a session."""
    started_at, ended_at = span_of(session, config, now)
    expires_at = from_micros(now) + timedelta(seconds=config.command_seconds)
    command = FootageCommand(
        command=command_id,
        node=session.node,
        session=session.session,
        started_at=to_text(from_micros(started_at)),
        ended_at=to_text(from_micros(ended_at)),
        cameras=cameras,
        actor=actor,
        reason=reason,
        issued_at=to_text(from_micros(now)),
        expires_at=to_text(expires_at),
    )
    store(connection, session, command, signer, session=session.session)
    return command


def under_way(connection: Connection, node: str, session: str, now: int) -> str | None:
    """Return the id of a command for this session that still waits for its answer."""
    found: str | None = connection.execute(
        select(COMMANDS.c.command)
        .where(
            COMMANDS.c.node == node,
            COMMANDS.c.session == session,
            COMMANDS.c.concluded_at.is_(None),
            COMMANDS.c.expires_at > now,
        )
        .order_by(COMMANDS.c.issued_at.desc())
        .limit(1)
    ).scalar_one_or_none()
    return found


def span_of(session: Row[*tuple[Any, ...]], config: FootageConfig, now: int) -> tuple[int, int]:
    """Return the span the node itself called owed, or the configured one around the session."""
    if session.span_started_at is not None and session.span_ended_at is not None:
        return session.span_started_at, session.span_ended_at
    before, after = (
        int(seconds * 1_000_000) for seconds in (config.pre_roll_seconds, config.post_roll_seconds)
    )
    ended_at = now if session.closed_at is None else session.closed_at
    return session.opened_at - before, ended_at + after
