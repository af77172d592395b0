"""Reading coverage for pages: the calendar's rows, and one day of a camera as spans.

The gaps say when footage is missing and why; the summaries say how much and until when anything is
known. Where the two do not agree, the difference is told and not hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import ValidationError
from sqlalchemy import Connection, Row, func, or_, select, tuple_

from central.days import HOUR_US, bounds_of, day_of
from central.pages.heatmap import GRACE_US, SECOND_MS, CameraRow, Told, row_of
from central.tables import CoverageDay, Node, table_of
from retention.terms.wire import Status
from retention.terms.words import SCENE_ROLES

NODES, DAYS = table_of(Node), table_of(CoverageDay)
ROLES = tuple(SCENE_ROLES)
AnyRow = Row[*tuple[Any, ...]]
SpanState = Literal["before", "held", "gap", "unknown", "soon", "closed", "after"]


class ToldDay(NamedTuple):
    """What summaries told of a camera's day; twelve thousand are common, and each costs."""

    told_ms: int
    owed_ms: int
    covered_ms: int
    known_until: int


def camera_rows(
    connection: Connection, window: Sequence[str], now: int, text: str
) -> list[CameraRow]:
    """Return every camera over the days of `window`; `text` is part of a pharmacy's or node's id.

    A camera that its node's status names and no summary yet is unknown today.
    """
    wanted = select(NODES.c.node).where(
        or_(
            NODES.c.pharmacy.icontains(text, autoescape=True),
            NODES.c.node.icontains(text, autoescape=True),
        )
    )
    nodes = {
        row.node: row
        for row in connection.execute(
            select(NODES.c.node, NODES.c.pharmacy, NODES.c.revoked_at, NODES.c.status).where(
                NODES.c.node.in_(wanted)
            )
        )
    }
    told: dict[tuple[str, str], dict[str, ToldDay]] = {}
    days = select(
        DAYS.c.node, DAYS.c.camera, DAYS.c.day, DAYS.c.told_ms, DAYS.c.owed_ms, DAYS.c.covered_ms,
        DAYS.c.known_until,
    ).where(DAYS.c.day.between(window[0], window[-1]))  # fmt: skip
    first = select(DAYS.c.node, DAYS.c.camera, func.min(DAYS.c.day).label("day")).group_by(
        DAYS.c.node, DAYS.c.camera
    )
    if text:  # not without: reading by day is much quicker when all nodes are wanted
        days, first = (query.where(DAYS.c.node.in_(wanted)) for query in (days, first))
    for name, camera, day, *sums in connection.execute(days).all():
        told.setdefault((name, camera), {})[day] = ToldDay(*sums)
    known = {
        (row.node, row.camera): (row.day, row.scene_role)
        for row in connection.execute(
            select(DAYS.c.node, DAYS.c.camera, DAYS.c.day, DAYS.c.scene_role).where(
                tuple_(DAYS.c.node, DAYS.c.camera, DAYS.c.day).in_(first)
            )
        )
    }
    for name, node in nodes.items():
        if node.revoked_at is None:
            for camera, scene_role in _cameras_of(node.status):
                known.setdefault((name, camera), (day_of(now), scene_role))
    made = [
        row_of(
            (nodes[node].pharmacy, node, camera, scene_role),
            told.get((node, camera), {}),
            first,
            window,
            now,
            nodes[node].revoked_at,
        )
        for (node, camera), (first, scene_role) in known.items()
        if node in nodes
    ]
    made.sort(key=lambda row: (row.pharmacy, row.node, _role_order(row.scene_role), row.camera))
    return [row for row in made if any(cell is not None for cell in row.cells)]


def _role_order(scene_role: str) -> int:
    return ROLES.index(scene_role) if scene_role in ROLES else len(ROLES)


def _cameras_of(status: str | None) -> list[tuple[str, str]]:
    if status is None:
        return []
    try:
        found = Status.model_validate_json(status)
    except ValidationError:
        return []
    return [(one.camera, one.scene_role) for one in found.cameras]


# -- one day --------------------------------------------------------------------------------------


class GapRow(Protocol):
    """A row of `gaps`."""

    @property
    def started_at(self) -> int: ...
    @property
    def ended_at(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a day of which one thing is true. Microseconds."""

    start: int
    end: int
    state: SpanState


@dataclass(frozen=True, slots=True)
class Hour:
    """What one hour has of each, in milliseconds."""

    number: int
    held_ms: int
    gap_ms: int
    unknown_ms: int


@dataclass(frozen=True, slots=True)
class DaySpans:
    """A day of a camera. `unexplained_ms` is missing by the summaries and in no gap."""

    spans: tuple[Span, ...]
    hours: tuple[Hour, ...]
    unexplained_ms: int


def spans_of_day(
    day: str,
    told: Told | None,
    gaps: Iterable[GapRow],
    first_day: str,
    now: int,
    until: int | None = None,
    closed: Iterable[tuple[int, int]] = (),
) -> DaySpans:
    """Tile a day: before anything was owed, held, in a gap, unknown, soon to be told, closed as
    declared (where nothing is owed and none of the others is known), to come."""
    start, end = bounds_of(day)
    high = max(start, min(end, now if until is None else min(now, until)))
    gaps = list(gaps)
    low = _owed_from(day, told, gaps, first_day, start, high)
    known = max(low, min(high, low if told is None else told.known_until))
    holes = _union(
        (max(low, gap.started_at), min(high, high if gap.ended_at is None else gap.ended_at))
        for gap in gaps
    )
    waiting = now - high < GRACE_US and high - known <= GRACE_US
    spans = [Span(start, low, "before")]
    at = low
    for hole_start, hole_end in [*holes, (high, high)]:
        spans += [
            Span(at, min(known, hole_start), "held"),
            Span(max(at, known), hole_start, "soon" if waiting else "unknown"),
            Span(hole_start, hole_end, "gap"),
        ]
        at = hole_end
    spans.append(Span(high, end, "after"))
    found = tuple(_closed_out([one for one in spans if one.start < one.end], _union(closed)))
    missing_ms = 0 if told is None else told.owed_ms - told.covered_ms
    explained = sum(min(known, b) - a for a, b in holes if a < known) // 1000
    unexplained = missing_ms - explained
    return DaySpans(found, _hours(found, start), unexplained if unexplained > SECOND_MS else 0)


def _owed_from(
    day: str, told: Told | None, gaps: Sequence[GapRow], first_day: str, start: int, high: int
) -> int:
    """Return since when the day is owed: on the first day of a camera, not from midnight on."""
    if day < first_day:
        return high
    if day > first_day:
        return start
    if told is not None:
        return min(high, max(start, told.known_until - told.told_ms * 1000))
    return min(high, max(start, min((gap.started_at for gap in gaps), default=start)))


def _closed_out(spans: Iterable[Span], closed: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """Yield spans with what lies in closed hours set apart: footage there is owed by nobody, so
    that none is missing says nothing of whether there is any."""
    for span in spans:
        at = span.start
        if span.state in ("held", "soon", "unknown"):
            for start, end in closed:
                start, end = max(at, start), min(span.end, end)
                if start < end:
                    if at < start:
                        yield Span(at, start, span.state)
                    yield Span(start, end, "closed")
                    at = end
        if at < span.end:
            yield Span(at, span.end, span.state)


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans in order, those that touch as one, those without length left out."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _hours(spans: Sequence[Span], start: int) -> tuple[Hour, ...]:
    def of(number: int, state: SpanState) -> int:
        a, b = start + number * HOUR_US, start + (number + 1) * HOUR_US
        return sum(_overlap(span, a, b) for span in spans if span.state == state) // 1000

    return tuple(
        Hour(number, of(number, "held"), of(number, "gap"), of(number, "unknown"))
        for number in range(24)
    )


def _overlap(span: Span, start: int, end: int) -> int:
    return max(0, min(span.end, end) - max(span.start, start))


def drawn(spans: Sequence[Span], start: int) -> Iterator[tuple[int, int, SpanState]]:
    """Return spans as x and width in seconds of the day, for a drawing."""
    for span in spans:
        x = (span.start - start) // 1_000_000
        yield x, max(60, (span.end - span.start) // 1_000_000), span.state
