"""How often one person may be looked at, and compared, in one session. Pure: tries in, ruling out.

Every comparison is one more chance for a stranger, so the false match rate of a policy is spread
over the comparisons that it permits (`identity.judge`), and no session gets more of them than
that. Looking without comparing (nobody in view, too dark, a turned head) costs no comparison, but
is bounded as well: nobody is kept before a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from identity.policy import TransactionLimits

EXHAUSTED = "ATTEMPTS_EXHAUSTED"


@dataclass(frozen=True, slots=True)
class Try:
    """One earlier try of a session: when it was decided (UTC), whether a camera was looked
    through at all, and whether a face was compared (its receipt carries a comparison score)."""

    at: datetime
    looked: bool
    compared: bool


def may_try(
    tries: Sequence[Try], now: datetime, limits: TransactionLimits, session_attempts: int
) -> str | None:
    """Return None when the person may be looked at once more, else the reason code.

    `tries` are those of one person in one session, `session_attempts` how many of them may look.
    """
    looked = [one for one in tries if one.looked]
    # (1) no more comparisons than the thresholds were derived for
    if sum(one.compared for one in tries) >= limits.comparisons:
        return EXHAUSTED
    # (2) no more looks than the node permits in one session
    if len(looked) >= session_attempts:
        return EXHAUSTED
    # (3) no more looks than the policy permits in any such time; a try that seems to lie in the
    # future (a clock that was set back) counts as one of just now
    recent = [one for one in looked if now - one.at < timedelta(seconds=limits.within_seconds)]
    return EXHAUSTED if len(recent) >= limits.attempts else None
