"""The rows that projections make, and the views that a fold works on: values, no database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Protocol, TypeVar

from retention.records.fields import Frozen


@dataclass(frozen=True, slots=True)
class Fact:
    """A record as the fold sees it: where it stands, when, and what it says (None: unknown)."""

    agency: str
    pharmacy: str
    node: str
    counter: str | None
    sequence: int
    kind: str
    occurred_at: int
    content: Frozen | None
    session: str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class SessionView:
    """One row of `sessions`. Times are microseconds."""

    agency: str
    pharmacy: str
    node: str
    session: str
    counter: str | None
    opened_at: int
    closed_at: int | None = None
    outcome: str | None = None
    decision: str | None = None
    decision_method: str | None = None
    decision_reasons: str | None = None
    proxy: int = 0
    gate: str | None = None
    settlement: str | None = None
    setl_id: str | None = None
    subject_role: str | None = None
    age_band: str | None = None
    sex: str | None = None
    face_tries: int = 0
    face_compared: int = 0
    accepted_by: str | None = None
    span_started_at: int | None = None
    span_ended_at: int | None = None
    owed_ms: int | None = None
    covered_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FlagView:
    """One row of `flags`; `subject` is what it is about (a session, a gap, a record)."""

    agency: str
    pharmacy: str
    node: str
    code: str
    subject: str
    session: str | None
    sequence: int
    raised_at: int
    cleared_at: int | None = None


@dataclass(frozen=True, slots=True)
class GapView:
    """One row of `gaps`; open while `ended_at` is None."""

    agency: str
    pharmacy: str
    node: str
    gap: str
    camera: str
    scene_role: str
    started_at: int
    ended_at: int | None
    cause: str


@dataclass(frozen=True, slots=True)
class DayView:
    """One row of `coverage_days`. Summaries told of it until `known_until`; later is unknown."""

    agency: str
    pharmacy: str
    node: str
    camera: str
    day: str
    scene_role: str
    known_until: int
    told_ms: int = 0
    owed_ms: int = 0
    covered_ms: int = 0
    segments: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class HoldView:
    """One row of `node_holds`; standing while `released_at` is None."""

    agency: str
    pharmacy: str
    node: str
    hold: str
    authority: str
    body: str
    author: str
    reason: str
    sequence: int
    placed_at: int
    released_at: int | None = None
    released_sequence: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyView:
    """One row of `node_policies`."""

    agency: str
    pharmacy: str
    node: str
    policy: str
    version: int
    authority: str
    body: str
    author: str
    reason: str
    sequence: int
    adopted_at: int


@dataclass(frozen=True, slots=True)
class AlarmView:
    """One row of `node_alarms`; open while `cleared_at` is None."""

    agency: str
    pharmacy: str
    node: str
    alarm: str
    subject: str
    detail: str
    since: int
    sequence: int
    cleared_at: int | None = None


@dataclass(frozen=True, slots=True)
class BreachView:
    """One row of `node_breaches`, as the last record told of it."""

    agency: str
    pharmacy: str
    node: str
    breach: str
    stage: str
    camera: str | None
    started_at: int
    ended_at: int | None
    cause: str
    detail: str
    sequence: int
    told_at: int


@dataclass(frozen=True, slots=True)
class ClosureView:
    """One row of `node_closures`."""

    agency: str
    pharmacy: str
    node: str
    closure: str
    kind: str
    started_at: int
    ended_at: int
    author: str
    reason: str
    sequence: int
    declared_at: int
    cancelled_at: int | None = None


@dataclass(frozen=True, slots=True)
class OpeningView:
    """One row of `node_openings`."""

    agency: str
    pharmacy: str
    node: str
    effective_from: int
    hours: str
    sequence: int


@dataclass(frozen=True, slots=True)
class SubjectsView:
    """The one row of a node in `node_subjects`."""

    agency: str
    pharmacy: str
    node: str
    controller: str
    subjects: int
    refs: int
    sequence: int
    counted_at: int


KeptView = HoldView | PolicyView | AlarmView | BreachView | ClosureView | OpeningView | SubjectsView
"""What records of keeping make. The key of each kind of row stands in KEPT_KEYS."""
KEPT_KEYS: dict[type[KeptView], tuple[str, ...]] = {
    HoldView: ("hold",),
    PolicyView: ("policy", "version"),
    AlarmView: ("alarm", "subject"),
    BreachView: ("breach",),
    ClosureView: ("closure",),
    OpeningView: ("effective_from",),
    SubjectsView: (),
}
Key = tuple[str | int, ...]
Kept = TypeVar(
    "Kept", HoldView, PolicyView, AlarmView, BreachView, ClosureView, OpeningView, SubjectsView
)


class LoadKept(Protocol):
    """Fetches a row of keeping that is known before."""

    def __call__(self, kind: type[Kept], key: Key) -> Kept | None: ...


@dataclass(slots=True)
class Views:
    """The rows that a run of facts touches; `load_*` fetch what is known before."""

    load_session: Callable[[str], SessionView | None]
    load_flag: Callable[[str, str], FlagView | None]
    load_gap: Callable[[str], GapView | None]
    load_day: Callable[[str, str], DayView | None]
    load_kept: LoadKept
    sessions: dict[str, SessionView] = field(default_factory=dict)
    flags: dict[tuple[str, str], FlagView] = field(default_factory=dict)
    gaps: dict[str, GapView] = field(default_factory=dict)
    days: dict[tuple[str, str], DayView] = field(default_factory=dict)
    kept: dict[tuple[type[KeptView], Key], KeptView] = field(default_factory=dict)
    steps: list[Fact] = field(default_factory=list)

    def session_of(self, fact: Fact) -> SessionView:
        """Return the session of a fact; one not seen opening begins with this fact."""
        assert fact.session is not None  # noqa: S101 - callers checked
        found = self.sessions.get(fact.session) or self.load_session(fact.session)
        return found or SessionView(
            agency=fact.agency,
            pharmacy=fact.pharmacy,
            node=fact.node,
            session=fact.session,
            counter=fact.counter,
            opened_at=fact.occurred_at,
        )

    def raise_flag(self, fact: Fact, code: str, subject: str | None = None) -> None:
        """Raise a flag, or raise it again when it was cleared; the first raising stays."""
        key = (code, subject or fact.session or f"record {fact.sequence}")
        known = self.flags.get(key) or self.load_flag(*key)
        if known is None:
            known = FlagView(
                agency=fact.agency,
                pharmacy=fact.pharmacy,
                node=fact.node,
                code=code,
                subject=key[1],
                session=fact.session,
                sequence=fact.sequence,
                raised_at=fact.occurred_at,
            )
        self.flags[key] = replace(known, cleared_at=None)

    def clear_flag(self, fact: Fact, code: str, subject: str) -> None:
        known = self.flags.get((code, subject)) or self.load_flag(code, subject)
        if known is not None:
            self.flags[code, subject] = replace(known, cleared_at=fact.occurred_at)

    def gap(self, gap: str) -> GapView | None:
        return self.gaps.get(gap) or self.load_gap(gap)

    def known(self, kind: type[Kept], *key: str | int) -> Kept | None:
        """Return a row of keeping, as it stands after what was folded so far."""
        found = self.kept.get((kind, key))
        return found if isinstance(found, kind) else self.load_kept(kind, key)

    def keep(self, view: KeptView) -> None:
        """Make or replace a row of keeping."""
        key = tuple(getattr(view, name) for name in KEPT_KEYS[type(view)])
        self.kept[type(view), key] = view

    def day(self, camera: str, day: str) -> DayView | None:
        return self.days.get((camera, day)) or self.load_day(camera, day)


def row_of(view: SessionView | FlagView | GapView | DayView | KeptView) -> dict[str, object]:
    """Return a view as the values of its row."""
    return asdict(view)
