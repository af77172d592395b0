"""Whether the pharmacist who signed in is still there: what each event makes of it. No I/O.

Rules, each with a test:
- nothing but an accepted look (with liveness) or the pharmacist's own secret makes anybody present;
- one look that does not see them is doubtful and brings a second look soon; absent is who was not
  seen for the grace and missed at least two looks;
- one accepted look is enough to be present again;
- a suspected attack is a look that did not see them: doubtful at once, and told by its reasons;
- who was known by their secret is not looked for: present until it has to be confirmed again;
- time is the monotonic clock's. How long ago somebody was seen before a reboot nobody can say, so
  they are doubtful, and count as present for nobody, until they are looked at or confirm it.

Silence is bounded by `retention.terms.presence`, which the gate asks too, so that a state which
nobody renewed counts for nothing even where no machine runs any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from identity.policy import IdentityPolicy
from retention.terms.presence import LONGEST_JITTER, Method, PresenceLimits, still_holds

State = Literal["present", "doubtful", "absent"]
SHORTEST_JITTER = 0.5
LOOKS_TO_BE_ABSENT = 2
SOONEST_SECONDS = 5.0
"""The least mean time between two looks at somebody doubtful."""
LOOKS_IN_GRACE = 8
"""How often, about, somebody doubtful is looked for before the grace is over."""
FORGOTTEN_SECONDS: dict[Method, float] = {"face": 2 * 3600.0, "secret": 12 * 3600.0}
"""Who was not seen for so long went away without signing out. Short where faces are looked for:
each look compares whoever is in view then, and is one more chance to take a stranger for them."""
WARN_SECONDS = 600.0
_NS = 1e9

SECRET_CONFIRMED = "SECRET_CONFIRMED"  # noqa: S105 - a reason code
CONFIRMATION_DUE = "CONFIRMATION_DUE"
NODE_RESTARTED = "NODE_RESTARTED"
NOT_LOOKED = "NOT_LOOKED"

Uniform = Callable[[float, float], float]
"""A source of random numbers: uniform(low, high)."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one pharmacist on duty. `seen_ns`: when they were last seen or confirmed it,
    None when that was before this boot; `missed` looks in a row did not see them since."""

    method: Method
    state: State
    seen_ns: int | None
    missed: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """One look, one to one. `unsure`: the camera or the verifier could not tell."""

    result: Literal["seen", "not_seen", "unsure", "suspected"]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The pharmacist gave their own secret."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """Nobody looked for a while, because whoever looks was not running."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Time went by."""


Event = Looked | Confirmed | Restarted | Passed


def after(standing: Standing, event: Event, now_ns: int, limits: PresenceLimits) -> Standing:
    """Return what an event at `now_ns` (monotonic) makes of a standing."""
    match event:
        case Confirmed():
            return Standing("secret", "present", now_ns, 0, (SECRET_CONFIRMED,))
        case Looked(result="seen", reasons=reasons):
            return Standing("face", "present", now_ns, 0, reasons)
        case Looked(reasons=reasons):
            missed = replace(standing, missed=standing.missed + 1, reasons=reasons)
            doubted = missed if missed.state == "absent" else replace(missed, state="doubtful")
            return _in_time(doubted, now_ns, limits)
        case Restarted():
            doubted = _doubted(standing) if standing.method == "face" else standing
            return _in_time(doubted, now_ns, limits)
        case Passed():
            return _in_time(standing, now_ns, limits)


def _in_time(standing: Standing, now_ns: int, limits: PresenceLimits) -> Standing:
    """Return the standing as of now: doubted when its age is not known, absent when too old."""
    if standing.state == "absent":
        return standing
    age = age_seconds(standing, now_ns)
    sought = standing.method == "face" and standing.missed >= LOOKS_TO_BE_ABSENT
    if age is None:
        return replace(standing, state="absent") if sought else _doubted(standing)
    if sought and age >= limits.grace_seconds:
        return replace(standing, state="absent")
    if still_holds(standing.method, age, limits):
        return standing
    silence = CONFIRMATION_DUE if standing.method == "secret" else NOT_LOOKED
    return replace(standing, state="absent", reasons=(silence,))


def _doubted(standing: Standing) -> Standing:
    if standing.state != "present":
        return standing
    return replace(standing, state="doubtful", reasons=(NODE_RESTARTED,))


def age_seconds(standing: Standing, now_ns: int) -> float | None:
    """Return how long ago they were seen, None when nobody can tell."""
    if standing.seen_ns is None or standing.seen_ns > now_ns:
        return None
    return (now_ns - standing.seen_ns) / _NS


def is_looked_for(standing: Standing) -> bool:
    """Tell whether looks are made: only for whoever signed in by face."""
    return standing.method == "face"


def next_look_seconds(standing: Standing, limits: PresenceLimits, uniform: Uniform) -> float:
    """Return in how many seconds to look next: nobody can know when."""
    mean = limits.recheck_seconds
    if standing.state == "doubtful":
        mean = min(mean, max(SOONEST_SECONDS, limits.grace_seconds / LOOKS_IN_GRACE))
    return mean * uniform(SHORTEST_JITTER, LONGEST_JITTER)


def confirm_in_seconds(standing: Standing, now_ns: int, limits: PresenceLimits) -> float | None:
    """Return how long a secret still holds; None when it does not, or nothing has to be given."""
    age = age_seconds(standing, now_ns)
    if standing.method != "secret" or standing.state != "present" or age is None:
        return None
    left = limits.confirm_minutes * 60 - age
    return left if left >= 0 else None


def is_confirmation_near(standing: Standing, now_ns: int, limits: PresenceLimits) -> bool:
    """Tell whether to ask for a confirmation now, before it is due."""
    left = confirm_in_seconds(standing, now_ns, limits)
    return left is not None and left <= min(WARN_SECONDS, limits.confirm_minutes * 60 / 4)


def unasked(policy: IdentityPolicy) -> IdentityPolicy:
    """Return the policy for a look that nobody knows of: no turn is asked for, since who goes about
    their work would make it wrongly. A policy that requires a turn then accepts nobody."""
    liveness = policy.liveness.model_copy(update={"challenge": "never"})
    return policy.model_copy(update={"liveness": liveness})


def is_forgotten(standing: Standing, now_ns: int) -> bool:
    """Tell whether they went away without signing out. Since a reboot at least its uptime passed,
    which is what the monotonic clock counts."""
    age = age_seconds(standing, now_ns)
    return (now_ns / _NS if age is None else age) >= FORGOTTEN_SECONDS[standing.method]
