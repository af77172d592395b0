"""What every command is, whatever it asks for: its checks, and how its job is stepped.

A command is written down at first sight and done once. A job is stepped until it has its
conclusion, which is in the database before it is told. Each kind of command has one kind of job.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.config import EdgeConfig
from edge.uplink.log import StoreLog
from retention.footage.volumes import Placed
from retention.records.clock import from_text
from retention.records.errors import ProofRejected
from retention.records.fields import Frozen
from retention.records.signing import Context, verify_signature
from retention.store import uplink
from retention.store.database import NodeStore
from retention.terms import wire
from retention.terms.commands import SignedCommand

Frames = list[bytes]


class CommandRefused(Exception):
    """A command that is not done; `reason` is what central is told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class JobTools:
    """What a job works with; `seal` asks a camera's recorder to cut and seal now, `locate` tells
    where a segment's file lies (raises VolumeMissing)."""

    config: EdgeConfig
    store: NodeStore
    log: StoreLog
    seal: Callable[[str], None]
    locate: Callable[[Placed], Path]
    signing_key: bytes


class Job(Protocol):
    """One command on its way. Times are seconds of any monotonic clock."""

    @property
    def conclusion(self) -> uplink.Conclusion | None:
        """How it ended; None while it is under way."""
        ...

    def check(self) -> None:
        """See whether the command may be done at all. Raises CommandRefused."""
        ...

    def refuse(self, reason: str) -> Frames:
        """Conclude it as refused and return the message that says so."""
        ...

    def step(self, now: float) -> Sequence[Frames]:
        """Go on a little, and return what is to be sent; the last thing is `command_done`."""
        ...

    def receive(self, answer: Frozen, now: float) -> None:
        """Take in central's answer to something that was sent."""
        ...

    def start_over(self) -> None:
        """Send again what was not answered: the connection was lost."""
        ...

    def pause(self, now: float) -> None:
        """Send again after a while: central refused what came."""
        ...


def check_command(tools: JobTools, signed: SignedCommand) -> None:
    """Check that a command is central's and for this node. Raises CommandRefused."""
    command = signed.command
    # (1) central's key signed it
    try:
        verify_signature(tools.signing_key, Context.COMMAND, command, signed.signature)
    except ProofRejected as exc:
        raise CommandRefused("BAD_SIGNATURE") from exc
    # (2) it names this node
    if command.node != tools.config.node.node:
        raise CommandRefused("OTHER_NODE")
    # (3) it has not expired
    try:
        expires_at = from_text(command.expires_at)
    except ValueError as exc:
        raise CommandRefused("MALFORMED") from exc
    if tools.store.clock.now() >= expires_at:
        raise CommandRefused("EXPIRED")


def done_frames(command: str, conclusion: uplink.Conclusion) -> Frames:
    """Return the `command_done` message of a conclusion."""
    return wire.encode(
        wire.CommandDone(
            command=command,
            outcome=conclusion.outcome,
            segments=conclusion.segments,
            reason=conclusion.reason,
        )
    )
