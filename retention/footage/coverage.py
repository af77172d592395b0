"""Coverage as a pure function: how much of an owed span is held, and why the rest is not.

Spans are half-open, in microseconds since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from retention.records.payloads import GapCause

TOLERANCE_US = 1000
"""A hole shorter than this is rounding between two time bases, not missing footage."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` until just before `end`."""

    start: int
    end: int

    def overlaps(self, other: Span) -> bool:
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap row's span and cause; an open gap reaches as far as one asks."""

    span: Span
    cause: GapCause


@dataclass(frozen=True, slots=True)
class Coverage:
    """Owed and covered milliseconds, and the causes of what is missing, in registry order."""

    owed_ms: int
    covered_ms: int
    causes: tuple[GapCause, ...]


def coverage(span: Span, segments: Iterable[Span], gaps: Iterable[Gap]) -> Coverage:
    """Return how much of `span` the segments cover. A hole that no gap explains is UNKNOWN."""
    holes = _holes(span, segments)
    gaps = tuple(gaps)
    causes: set[GapCause] = set()
    for hole in holes:
        found = {gap.cause for gap in gaps if gap.span.overlaps(hole)}
        causes |= found or {GapCause.UNKNOWN}
    missing = sum(hole.end - hole.start for hole in holes)
    owed = max(0, span.end - span.start)
    return Coverage(
        owed // 1000,
        (owed - missing) // 1000 if missing else owed // 1000,
        tuple(cause for cause in GapCause if cause in causes),
    )


def _holes(span: Span, segments: Iterable[Span]) -> list[Span]:
    holes, at = [], span.start
    for segment in sorted(segments, key=lambda one: one.start):
        if segment.start - at > TOLERANCE_US and at < span.end:
            holes.append(Span(at, min(segment.start, span.end)))
        at = max(at, segment.end)
    if span.end - at > TOLERANCE_US:
        holes.append(Span(at, span.end))
    return holes
