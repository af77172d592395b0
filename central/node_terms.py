"""What a node had promised when a record of it was written: policies and holds, by its own word.

Read from the projections of its records, so that what it disposed of later is judged by what it
knew then. But for what a node says central said: whoever holds its key can write that central
released a hold or adopted a shorter policy, so there central's own tables count. A hold on a person
cannot be told apart here, because central does not know the camera spans of a person; a hold on a
session is known by the span that its node called owed.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from central.tables import HoldRow, NodeHold, NodePolicy, PolicyRow, Session, table_of
from retention.policy import AdoptedPolicy, HeldScope, HeldSpan
from retention.records.clock import from_micros, from_text
from retention.records.keeping import Hold, RetentionPolicy

HOLDS, POLICIES, SESSIONS = table_of(NodeHold), table_of(NodePolicy), table_of(Session)
PLACED, DECIDED = table_of(HoldRow), table_of(PolicyRow)
CENTRAL = "central"


@dataclass(frozen=True, slots=True)
class NodeTerms:
    """The promises of one node, asked for only when something was disposed of."""

    connection: Connection
    node: str

    def policies(self, sequence: int) -> list[AdoptedPolicy]:
        """Return the policies of central that the node had adopted before a record."""
        rows = self.connection.execute(
            select(POLICIES.c.adopted_at, DECIDED.c.body)
            .join(
                DECIDED,
                (DECIDED.c.agency == POLICIES.c.agency)
                & (DECIDED.c.pharmacy == POLICIES.c.pharmacy)
                & (DECIDED.c.policy == POLICIES.c.policy)
                & (DECIDED.c.version == POLICIES.c.version),
            )
            .where(POLICIES.c.node == self.node, POLICIES.c.sequence < sequence)
        )
        return [
            AdoptedPolicy(
                RetentionPolicy.model_validate_json(row.body), from_micros(row.adopted_at)
            )
            for row in rows
        ]

    def holds(self, sequence: int) -> list[HeldScope]:
        """Return the holds that stood at the node when a record was written."""
        released = HOLDS.c.released_sequence.is_not(None) & (HOLDS.c.released_sequence < sequence)
        really = (
            (HOLDS.c.authority != CENTRAL)
            | PLACED.c.hold.is_(None)  # not one of central's: nobody was promised it
            | PLACED.c.released_at.is_not(None)
        )
        rows = self.connection.execute(
            select(HOLDS.c.body)
            .outerjoin(PLACED, PLACED.c.hold == HOLDS.c.hold)
            .where(HOLDS.c.node == self.node, HOLDS.c.sequence < sequence, ~(released & really))
        )
        return [self._scope(Hold.model_validate_json(row.body)) for row in rows]

    def _scope(self, hold: Hold) -> HeldScope:
        match hold.scope:
            case "pharmacy":
                return HeldScope(hold.hold, everything=True)
            case "span" if hold.started_at is not None and hold.ended_at is not None:
                span = HeldSpan(
                    from_text(hold.started_at), from_text(hold.ended_at), frozenset(hold.cameras)
                )
                return HeldScope(hold.hold, spans=(span,))
            case "session":
                return HeldScope(hold.hold, spans=self._session_spans(hold.session or ""))
            case _:
                return HeldScope(hold.hold)

    def _session_spans(self, session: str) -> tuple[HeldSpan, ...]:
        rows = self.connection.execute(
            select(SESSIONS.c.span_started_at, SESSIONS.c.span_ended_at).where(
                SESSIONS.c.node == self.node,
                SESSIONS.c.session == session,
                SESSIONS.c.span_started_at.is_not(None),
                SESSIONS.c.span_ended_at.is_not(None),
            )
        )
        return tuple(
            HeldSpan(from_micros(start), from_micros(end), frozenset()) for start, end in rows
        )
