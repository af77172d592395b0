"""Answering a challenge: proof, sample by sample, that what the log says is still here.

The paths of all samples are made in one pass over the log, a piece a step. Then each sample is
looked up and sent, a few at a time, until central judged it. A disposal that no countersigned tree
covers yet waits for the next round, when one does. What was judged stays judged: a restart begins
again, and central says again what it said.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import structlog

from edge.commands.jobs import CommandRefused, Frames, JobTools, done_frames
from edge.commands.samples import Disposed, Found, Held, Missing, look_up
from retention.records.clock import from_text
from retention.records.fields import Frozen
from retention.records.keeping import ChallengeAnswered
from retention.records.proofs import Paths
from retention.store import challenges, uplink
from retention.store.log import append, leaves
from retention.terms import wire
from retention.terms.commands import ChallengeCommand, CommandOutcome

log = structlog.get_logger()
WINDOW = 4
ANSWER_SECONDS = 5.0
REFUSED_SECONDS = 2.0
LATER_SECONDS = 15.0
LEAVES_A_STEP = 100_000
READ_A_STEP = 64 * 1024 * 1024  # bytes of frames and files: then the process says that it lives


@dataclass(slots=True)
class _Sent:
    """An answer that waits for its judgement."""

    frames: Frames
    outcome: str
    again_at: float


class ChallengeJob:
    """Steps through: a covering tree, the paths, the answers, the conclusion."""

    def __init__(self, tools: JobTools, command: ChallengeCommand) -> None:
        self._tools, self._command = tools, command
        self._open = list(range(len(command.samples)))  # not sent yet, in order
        self._later: list[int] = []
        self._under_way: dict[int, _Sent] = {}
        self._counts: Counter[str] = Counter()
        self._paths: Paths | None = None
        self._not_before = 0.0
        self.conclusion: uplink.Conclusion | None = None

    def check(self) -> None:
        """A challenge that names one sample twice is none. Raises CommandRefused."""
        if len(set(self._command.samples)) != len(self._command.samples):
            raise CommandRefused("MALFORMED")

    def refuse(self, reason: str) -> Frames:
        return self._conclude("refused", reason)

    def step(self, now: float) -> list[Frames]:
        """Return what is to be sent now; the last thing is `command_done`."""
        if self._tools.store.clock.now() >= from_text(self._command.expires_at):
            return [self._conclude("failed", "EXPIRED")]
        if now < self._not_before:
            return []
        if not self._open and not self._under_way and self._later:
            self._open, self._later, self._paths = self._later, [], None
            self._not_before = now + LATER_SECONDS
            return []
        if not (self._open or self._under_way or self._later):
            return [self._conclude("done", None)]
        if self._paths is None or not self._paths.complete:
            self._prepare()
            return []
        again = [sent for sent in self._under_way.values() if now >= sent.again_at]
        for sent in again:
            sent.again_at = now + ANSWER_SECONDS
        return [*(sent.frames for sent in again), *self._answer_some(self._paths, now)]

    def receive(self, answer: Frozen, now: float) -> None:
        """Take in a judgement; one that comes twice counts once."""
        if not isinstance(answer, wire.ProofAck):
            return
        sent = self._under_way.pop(answer.ordinal, None)
        if sent is not None:
            self._counts[sent.outcome] += 1
            if sent.outcome == "missing" or answer.verdict == "missing":
                leaf = self._command.samples[answer.ordinal].leaf
                log.error("sample_not_proven", leaf=leaf, cause=answer.cause)

    def start_over(self) -> None:
        for sent in self._under_way.values():
            sent.again_at = 0.0

    def pause(self, now: float) -> None:
        self._not_before = now + REFUSED_SECONDS
        self.start_over()

    # -- the paths --------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Choose a countersigned tree over everything to be shown, then add its leaves."""
        if self._paths is None:
            self._paths = self._begin_paths()
        if self._paths is None:
            self._tools.log.make_checkpoint_if_grown()
            return
        first = self._paths.added
        with self._tools.store.read() as connection:
            size = min(first + LEAVES_A_STEP, self._paths.size)
            self._paths.add(leaves(connection, first, size))

    def _begin_paths(self) -> Paths | None:
        with self._tools.store.read() as connection:
            size = uplink.log_size(connection).tree_size
            wanted: set[int] = set()
            for ordinal in self._open:
                leaf = self._command.samples[ordinal].leaf
                wanted.update({leaf, *challenges.disposals_of(connection, leaf)})
            wanted = {sequence for sequence in wanted if sequence < size}
            covering = uplink.covering_checkpoint(connection, max(wanted, default=-1))
        return None if covering is None else Paths(covering, wanted)

    # -- the answers ------------------------------------------------------------------------------

    def _answer_some(self, paths: Paths, now: float) -> list[Frames]:
        out: list[Frames] = []
        read = 0
        while self._open and len(self._under_way) < WINDOW and read < READ_A_STEP:
            ordinal = self._open.pop(0)
            found = look_up(self._tools, self._command.samples[ordinal])
            read += found.read if isinstance(found, Held) else 0
            frames = self._frames(paths, ordinal, found)
            if frames is None:
                self._later.append(ordinal)
                continue
            self._under_way[ordinal] = _Sent(frames, _OUTCOMES[type(found)], now + ANSWER_SECONDS)
            out.append(frames)
        return out

    def _frames(self, paths: Paths, ordinal: int, found: Found) -> Frames | None:
        """Return the answer; None while the tree does not cover what it would show."""
        leaf = self._command.samples[ordinal].leaf
        proof = b"".join(paths.path(leaf)) if paths.covers(leaf) else b""
        match found:
            case Held():
                blobs = [found.record, proof, found.chunk, found.path]
            case Disposed() if paths.covers(found.sequence):
                with self._tools.store.read() as connection:
                    row = challenges.leaf_row(connection, found.sequence)
                disposal = b"" if row is None else row.raw
                blobs = [found.record, proof, disposal, b"".join(paths.path(found.sequence))]
            case Missing():
                blobs = [found.record, proof, b"", b""]
            case _:
                return None
        header = wire.Proof(
            command=self._command.command,
            ordinal=ordinal,
            tree_size=paths.size,
            outcome=_OUTCOMES[type(found)],
            cause=found.cause if isinstance(found, Missing) else None,
        )
        return wire.encode(header, blobs)

    def _conclude(self, outcome: CommandOutcome, reason: str | None) -> Frames:
        counts, command = self._counts, self._command
        conclusion = uplink.Conclusion(outcome, 0, reason)
        answered = ChallengeAnswered(
            command=command.command,
            challenge=command.challenge,
            tree_size=command.tree_size,
            samples=len(command.samples),
            held=counts["held"],
            disposed=counts["disposed"],
            missing=counts["missing"],
        )
        store = self._tools.store
        with store.write() as connection:
            uplink.note_conclusion(store, connection, command.command, conclusion)
            append(store, connection, answered)
        self.conclusion = conclusion
        log.info("challenge_answered", outcome=outcome, reason=reason, **counts)
        return done_frames(command.command, conclusion)


_OUTCOMES: dict[type[Found], Literal["held", "disposed", "missing"]] = {
    Held: "held",
    Disposed: "disposed",
    Missing: "missing",
}
