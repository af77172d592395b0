"""How long a thing is kept: floors, policies, ceilings, holds, and the one decision.

Pure: values in, a Disposition out. Free space is not an argument, so it can never matter.

    floor      what the law asks for; a policy lengthens it, nothing shortens it (invariant 3)
    policy     counts for every item that lived while it was in force, or will: lengthening
               reaches all that is still held, shortening only what begins after it
    hold       wins over everything, as long as it stands
    ceiling    what may not be kept longer (face material); a policy shortens it (invariant 4)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from retention.records.clock import EPOCH, ClockState, from_text
from retention.records.keeping import FaceMaterial, RetentionPolicy, RetentionSubject, Term

SHANGHAI = ZoneInfo("Asia/Shanghai")
DOUBTED_AFTER = timedelta(days=1)
"""What can have been made so much later than it says is held with all of that time."""
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
"""What cannot be reckoned any more is owed until then."""

FLOORS: dict[RetentionSubject, Term] = {
    "footage": Term(subject="footage", years=1, days=366),
    "archive": Term(subject="archive", years=2, days=731),
    "purchase_evidence": Term(subject="purchase_evidence", years=2, days=731),
    "processing": Term(subject="processing", years=3, days=1096),
    "footage_index": Term(subject="footage_index", years=2, days=731),
    "operations": Term(subject="operations", years=2, days=731),
}
CEILINGS: dict[FaceMaterial, int] = {"face_reference": 3650, "probe_crop": 30}
"""Days after which face material is gone at the latest, unless a policy says earlier. A reference
also carries the end that its consent was given for, which is what counts in practice."""


@dataclass(frozen=True, slots=True)
class AdoptedPolicy:
    """A policy, and when this node took it up."""

    policy: RetentionPolicy
    adopted_at: datetime
    effective_from: datetime = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "effective_from", from_text(self.policy.effective_from))

    @property
    def begins_at(self) -> datetime:
        """A policy that is dated back replaces an earlier one from its adoption on only."""
        return max(self.effective_from, self.adopted_at)


@dataclass(frozen=True, slots=True)
class HeldSpan:
    """Footage between two moments of some cameras (of all, if none is named)."""

    started_at: datetime
    ended_at: datetime
    cameras: frozenset[str]


@dataclass(frozen=True, slots=True)
class HeldScope:
    """A standing hold, and what it covers on this node now."""

    hold: str
    everything: bool = False
    sessions: frozenset[str] = frozenset()
    persons: frozenset[str] = frozenset()
    spans: tuple[HeldSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is kept, and what it says of its own time.

    For an archive `ended_at` is its latest event, for purchase evidence the last sale of the
    batch. `earliest_at` and `latest_at` are when it can have been made at all, as far as is known
    apart from what it says: its clock may have been wrong, and floors count from the later.
    """

    subject: RetentionSubject
    started_at: datetime
    ended_at: datetime
    earliest_at: datetime | None = None
    latest_at: datetime | None = None
    camera: str | None = None
    session: str | None = None
    person_refs: frozenset[str] = frozenset()
    owed_to_central: bool = False

    @property
    def counts_from(self) -> datetime:
        """The latest moment that it can have ended."""
        return self.ended_at if self.latest_at is None else max(self.ended_at, self.latest_at)

    @property
    def lived_since(self) -> datetime:
        """The earliest moment that it can have begun."""
        return (
            self.started_at if self.earliest_at is None else min(self.started_at, self.earliest_at)
        )

    @property
    def in_doubt(self) -> bool:
        """Tell whether it may have been made much later than it says."""
        return self.counts_from - self.ended_at > DOUBTED_AFTER


class KeepReason(StrEnum):
    """Why an item stays."""

    HOLD = "HOLD"
    FLOOR = "FLOOR"
    OWED_TO_CENTRAL = "OWED_TO_CENTRAL"
    CLOCK_NOT_TRUSTED = "CLOCK_NOT_TRUSTED"


@dataclass(frozen=True, slots=True)
class Keep:
    """The item stays; `until` is what is promised, whatever else keeps it longer."""

    reason: KeepReason
    until: datetime
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class Dispose:
    """The item may go: everything that was promised about it is kept."""

    owed_until: datetime


Disposition = Keep | Dispose


def decide(
    item: Item,
    policies: Sequence[AdoptedPolicy],
    holds: Sequence[HeldScope],
    trusted_now: datetime,
    clock_state: ClockState,
) -> Disposition:
    """Say whether an item may go. `trusted_now` is the latest moment that is surely past."""
    until = owed_until(item.subject, item.counts_from, policies, lived_since=item.lived_since)
    for hold in holds:  # (1) a hold always wins
        if covers(hold, item):
            return Keep(KeepReason.HOLD, until, hold.hold)
    if trusted_now <= until:  # (2) the floor, and every policy of its lifetime
        return Keep(KeepReason.FLOOR, until)
    if item.owed_to_central:  # (3) central has seen it, and its place in the log
        return Keep(KeepReason.OWED_TO_CENTRAL, until)
    if clock_state is not ClockState.STEADY:  # (4) nothing goes while the clock is in doubt
        return Keep(KeepReason.CLOCK_NOT_TRUSTED, until)
    return Dispose(until)


def covers(hold: HeldScope, item: Item) -> bool:
    """Tell whether a hold keeps an item. A record that names no camera is kept with its time; one
    whose time is in doubt with all the time that it can be of."""
    if hold.everything or item.session in hold.sessions or hold.persons & item.person_refs:
        return True
    if item.session is not None and (hold.sessions or hold.persons):
        return False  # Another session at the same time: its footage is held, not its archive.
    started_at, ended_at = item.started_at, item.ended_at
    if item.in_doubt:
        started_at, ended_at = item.lived_since, item.counts_from
    return any(
        span.started_at <= ended_at
        and started_at <= span.ended_at
        and (item.camera is None or not span.cameras or item.camera in span.cameras)
        for span in hold.spans
    )


# -- how long ------------------------------------------------------------------------------------


def owed_until(
    subject: RetentionSubject,
    ended_at: datetime,
    policies: Sequence[AdoptedPolicy],
    *,
    lived_since: datetime | None = None,
) -> datetime:
    """Return until when an item is owed: the latest that the floor or any policy promised that
    was in force at any time since `lived_since` (its end, unless told), or is coming."""
    since = ended_at if lived_since is None else min(lived_since, ended_at)
    ends = in_force_until(policies)
    return max(
        term_end(term, ended_at)
        for term in (
            FLOORS[subject],
            *(
                term
                for adopted, end in zip(policies, ends, strict=True)
                if end is None or end >= since
                for term in adopted.policy.terms
                if term.subject == subject
            ),
        )
    )


def in_force_until(policies: Sequence[AdoptedPolicy]) -> list[datetime | None]:
    """Return for each policy when a later version of it took over; None if none did."""
    return [
        min(
            (
                other.begins_at
                for other in policies
                if other.policy.policy == one.policy.policy
                and other.policy.version > one.policy.version
            ),
            default=None,
        )
        for one in policies
    ]


def term_end(term: Term, ended_at: datetime) -> datetime:
    """Return the later of `years` calendar years (Asia/Shanghai) and `days` days after a moment.

    29 February becomes 1 March in a year without one: later than the 28th.
    """
    try:
        return max(_years_later(ended_at, term.years), ended_at + timedelta(days=term.days))
    except OverflowError:
        return END_OF_TIME


def _years_later(moment: datetime, years: int) -> datetime:
    local = moment.astimezone(SHANGHAI)
    year = local.year + years
    if year >= END_OF_TIME.year:
        return END_OF_TIME
    try:
        later = local.replace(year=year)
    except ValueError:  # 29 February
        later = local.replace(year=year, month=3, day=1)
    return later.astimezone(UTC)


def due_ranges(
    subject: RetentionSubject, policies: Sequence[AdoptedPolicy], trusted_now: datetime
) -> list[tuple[datetime, datetime]]:
    """Return the ranges (after, up to) of `ended_at` in which items may be due.

    Between two moments at which a policy ends, the same promises hold, so what is due there lies
    at its beginning. A search over these ranges looks at nothing that a policy still keeps; what
    it finds is judged by `decide`, which knows more.
    """
    ends = sorted({end for end in in_force_until(policies) if end is not None and end > EPOCH})
    ranges: list[tuple[datetime, datetime]] = []
    after = datetime(1, 1, 2, tzinfo=UTC)
    for end in (*ends, END_OF_TIME):
        latest = _latest_due(subject, policies, after, end, trusted_now)
        if latest is not None:
            ranges.append((after, latest))
        after = end
    return ranges


def _latest_due(
    subject: RetentionSubject,
    policies: Sequence[AdoptedPolicy],
    after: datetime,
    end: datetime,
    trusted_now: datetime,
) -> datetime | None:
    """Return the latest moment in (after, end] at which an item can have ended and be due now."""

    def due(ended_at: datetime) -> bool:
        return owed_until(subject, ended_at, policies) < trusted_now

    tick = timedelta(microseconds=1)
    low, high = after + tick, min(end, trusted_now)
    if high < low or not due(low):
        return None
    if due(high):
        return high
    while high - low > tick:  # owed_until only grows within the range
        middle = low + (high - low) // (2 * tick) * tick
        low, high = (middle, high) if due(middle) else (low, middle)
    return low


# -- ceilings ------------------------------------------------------------------------------------


def ceiling_days(material: FaceMaterial, policies: Sequence[AdoptedPolicy], now: datetime) -> int:
    """Return how many days face material may be kept at the most: the least that anything in
    force says. What a policy once allowed does not count: late deletion is the fault here."""
    ends = in_force_until(policies)
    return min(
        (
            CEILINGS[material],
            *(
                ceiling.days
                for adopted, end in zip(policies, ends, strict=True)
                if adopted.effective_from <= now and (end is None or now < end)
                for ceiling in adopted.policy.ceilings
                if ceiling.material == material
            ),
        )
    )
