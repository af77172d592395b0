"""Whether a face may be looked at now: the rules that come before any camera is asked.

In this order: no face is taken of a child; a locked credential is attested first; then the limits
of a transaction. What was looked at is read from the session's own records, so neither a restart
nor another terminal forgets a try. A subject is counted for itself: when somebody else collects,
their tries begin anew.
"""

from __future__ import annotations

from datetime import datetime

from edge.session.state import SessionState
from identity.policy import TransactionLimits
from identity.transaction import Try, may_try
from retention.records.clock import from_text

# After so many tries that led to nothing another way is offered by itself.
OFFERED_AFTER = 2


def why_no_face(
    state: SessionState, now: datetime, *, limits: TransactionLimits, attempts: int, locked: bool
) -> str | None:
    """Return the reason code why the present subject's face is not looked at, or None."""
    if state.subject_is_child:
        return "CHILD_NO_FACE"
    if locked:
        return "FACE_LOCKED"
    return may_try(tries(state), now, limits, attempts)


def tries(state: SessionState) -> tuple[Try, ...]:
    """Return the looked attempts of the present subject, oldest first."""
    return tuple(
        Try(
            at=from_text(receipt.decided_at),
            looked=True,
            compared=receipt.comparison_score is not None,
        )
        for receipt in state.looked
    )


def failed_tries(state: SessionState) -> int:
    """Return how many looked attempts of the present subject were not accepted."""
    return sum(receipt.outcome != "ACCEPT" for receipt in state.looked)
