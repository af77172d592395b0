"""Signing and storing what central asks of a node; the collector delivers it."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from central.incidents import Tenanted
from central.tables import CommandRow, table_of
from retention.records.canonical import canonical_bytes
from retention.records.clock import from_text, to_micros
from retention.records.signing import Context, Signer
from retention.terms.commands import AnyCommand, SignedCommand

COMMANDS = table_of(CommandRow)


def store(
    connection: Connection,
    node: Tenanted,
    command: AnyCommand,
    signer: Signer,
    *,
    session: str | None = None,
    subject: str | None = None,
) -> None:
    """Sign a command and keep it until it ends; `subject` is what a later look asks for."""
    signed = SignedCommand(command=command, signature=signer.sign(Context.COMMAND, command))
    connection.execute(
        insert(COMMANDS).values(
            agency=node.agency,
            pharmacy=node.pharmacy,
            node=node.node,
            command=command.command,
            kind=command.kind,
            session=session,
            subject=subject,
            actor=command.actor,
            reason=command.reason,
            body=canonical_bytes(signed.model_dump(mode="json")),
            issued_at=to_micros(from_text(command.issued_at)),
            expires_at=to_micros(from_text(command.expires_at)),
        )
    )
