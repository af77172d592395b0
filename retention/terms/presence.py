"""How long a sign of presence holds: of the pharmacist who signed in, by how they were known.

The one place for this arithmetic: the gate asks it, whatever state was last written, so a process
that died leaves nobody present. Seconds are those of the monotonic clock of one boot.
"""

from __future__ import annotations

from typing import Literal, Protocol

Method = Literal["face", "secret"]
LONGEST_JITTER = 1.5
"""The next look comes at most this many times the mean later."""
LATE_SECONDS = 60.0
"""What a look may come late, and a second one after it, before silence itself speaks."""


class PresenceLimits(Protocol):
    """What the configuration says ([presence])."""

    @property
    def recheck_seconds(self) -> float: ...

    @property
    def grace_seconds(self) -> float: ...

    @property
    def confirm_minutes(self) -> float: ...


def lapse_seconds(method: Method, limits: PresenceLimits) -> float:
    """Return how long after the last look or confirmation nobody counts as present any more.

    Of a face that was looked for in vain the machine (`identity.presence`) says so earlier; this
    is the bound that holds when nobody looks.
    """
    if method == "secret":
        return limits.confirm_minutes * 60
    last_look = limits.recheck_seconds * LONGEST_JITTER
    return max(limits.grace_seconds, last_look) + LATE_SECONDS


def still_holds(method: Method, age_seconds: float | None, limits: PresenceLimits) -> bool:
    """Tell whether a sign of presence of that age still counts; None (an age that nobody can tell,
    after a reboot) does not."""
    return age_seconds is not None and 0 <= age_seconds <= lapse_seconds(method, limits)
