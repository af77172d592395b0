"""Policies, holds and releases from central: done and concluded in one transaction, then told.

So a crash leaves the command either open, to be done at its next telling, or done with its record.
The same hold or policy again changes nothing and is done again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import structlog

from edge.commands.jobs import CommandRefused, Frames, JobTools, done_frames
from retention.records.clock import from_text
from retention.records.fields import Frozen
from retention.records.keeping import HoldPlaced, HoldReleased, PolicyAdopted
from retention.store import holds, policies, uplink
from retention.terms.commands import HoldCommand, PolicyCommand, ReleaseCommand

log = structlog.get_logger()
CENTRAL = "central"
StandingCommand = PolicyCommand | HoldCommand | ReleaseCommand


class StandingJob:
    """One step, and there is nothing to wait for."""

    def __init__(self, tools: JobTools, command: StandingCommand) -> None:
        self._tools, self._command = tools, command
        self.conclusion: uplink.Conclusion | None = None

    def check(self) -> None:
        """See that every moment is one. Raises CommandRefused."""
        match self._command:
            case PolicyCommand(policy=policy):
                moments: Sequence[str | None] = (policy.effective_from,)
            case HoldCommand(hold=hold):
                moments = (hold.started_at, hold.ended_at)
            case _:
                moments = ()
        try:
            for moment in moments:
                if moment is not None:
                    from_text(moment)
        except ValueError as exc:
            raise CommandRefused("MALFORMED") from exc

    def step(self, now: float) -> list[Frames]:
        """Do it, and return `command_done`."""
        store = self._tools.store
        done = uplink.Conclusion("done", 0, None)
        try:
            with store.write() as connection:
                self._do(connection)
                uplink.note_conclusion(store, connection, self._command.command, done)
        except CommandRefused as exc:
            return [self.refuse(exc.reason)]
        return [self._told(done)]

    def refuse(self, reason: str) -> Frames:
        store = self._tools.store
        refused = uplink.Conclusion("refused", 0, reason)
        with store.write() as connection:
            uplink.note_conclusion(store, connection, self._command.command, refused)
        return self._told(refused)

    def receive(self, answer: Frozen, now: float) -> None:
        """Nothing was asked of central."""

    def start_over(self) -> None:
        """Nothing is on its way."""

    def pause(self, now: float) -> None:
        """Nothing is on its way."""

    def _do(self, connection: sqlite3.Connection) -> None:
        store, command = self._tools.store, self._command
        try:
            match command:
                case PolicyCommand():
                    adopted = PolicyAdopted(
                        policy=command.policy,
                        authority=CENTRAL,
                        author=command.actor,
                        reason=command.reason,
                    )
                    policies.adopt(store, connection, adopted)
                case HoldCommand():
                    placed = HoldPlaced(
                        hold=command.hold,
                        authority=CENTRAL,
                        author=command.actor,
                        reason=command.reason,
                    )
                    holds.place(store, connection, placed)
                case ReleaseCommand():
                    released = HoldReleased(
                        hold=command.hold,
                        authority=CENTRAL,
                        author=command.actor,
                        reason=command.reason,
                    )
                    # A hold that is not known here needs no release: it is done.
                    if holds.release(store, connection, released) == "other_authority":
                        raise CommandRefused("OTHER_AUTHORITY")
        except policies.PolicyConflict as exc:
            raise CommandRefused("POLICY_CONFLICT") from exc
        except holds.HoldRefused as exc:
            raise CommandRefused("HOLD_REFUSED") from exc

    def _told(self, conclusion: uplink.Conclusion) -> Frames:
        self.conclusion = conclusion
        log.info(
            "standing_command_done", command=self._command.command, kind=self._command.kind,
            outcome=conclusion.outcome, reason=conclusion.reason,
        )  # fmt: skip
        return done_frames(self._command.command, conclusion)
