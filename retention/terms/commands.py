"""What central may ask of a node, signed by central's key and bound to one node and a time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from retention.records.fields import Code, Frozen, Id, Moment, Text
from retention.records.payloads import SignatureBlock


class FootageCommand(Frozen):
    """Send the sealed segments that overlap a span (pre-roll and post-roll included)."""

    command: Id
    kind: Literal["footage"] = "footage"
    node: Code
    session: Id
    started_at: Moment
    ended_at: Moment
    cameras: Annotated[tuple[Code, ...], Field(max_length=16)] = ()
    actor: Text
    reason: Text
    issued_at: Moment
    expires_at: Moment


class SignedCommand(Frozen):
    command: FootageCommand
    signature: SignatureBlock
