"""Coverage as a pure function: how much of an owed span is held, and why the rest is not.

Spans are half-open, in microseconds since the Unix epoch. Footage that shows nothing (a gap of the
layer `view`: black, frozen, covered, …) is held and worth nothing: it counts as missing, with that
cause. Nothing is owed inside `closed` spans, so nothing can be missing there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retention.records.payloads import VIEW_CAUSES, GapCause

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


def coverage(
    span: Span, segments: Iterable[Span], gaps: Iterable[Gap], closed: Iterable[Span] = ()
) -> Coverage:
    """Return how much of `span`, `closed` taken out, the segments cover with pictures that show
    something. A hole that no gap explains is UNKNOWN."""
    segments, gaps = tuple(segments), tuple(gaps)
    owed = without([span], closed)
    holes = [hole for part in owed for hole in _holes(part, segments)]
    views = [gap for gap in gaps if gap.cause in VIEW_CAUSES]
    shown = without(owed, holes)
    worthless = without(shown, without(shown, (gap.span for gap in views)))
    causes = {gap.cause for gap in views if _any_overlap(gap.span, worthless)}
    for hole in holes:
        found = {
            gap.cause for gap in gaps if gap.cause not in VIEW_CAUSES and gap.span.overlaps(hole)
        }
        causes |= found or {GapCause.UNKNOWN}
    total, missing = length(owed), length(holes) + length(worthless)
    return Coverage(
        total // 1000,
        (total - missing) // 1000,
        tuple(cause for cause in GapCause if cause in causes),
    )


def length(spans: Iterable[Span]) -> int:
    """Return the microseconds of spans that do not overlap."""
    return sum(span.end - span.start for span in spans)


def without(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """Return what is left of spans when others are taken out, in order; empty spans are dropped."""
    out = sorted((one for one in taken if one.start < one.end), key=lambda one: one.start)
    left: list[Span] = []
    for span in sorted(spans, key=lambda one: one.start):
        at = span.start
        for one in out:
            if one.start >= span.end:
                break
            if one.start > at:
                left.append(Span(at, one.start))
            at = max(at, one.end)
        if at < span.end:
            left.append(Span(at, span.end))
    return left


def _any_overlap(span: Span, others: Sequence[Span]) -> bool:
    return any(span.overlaps(other) for other in others)


def _holes(span: Span, segments: Iterable[Span]) -> list[Span]:
    holes, at = [], span.start
    for segment in sorted(segments, key=lambda one: one.start):
        if segment.start - at > TOLERANCE_US and at < span.end:
            holes.append(Span(at, min(segment.start, span.end)))
        at = max(at, segment.end)
    if span.end - at > TOLERANCE_US:
        holes.append(Span(at, span.end))
    return holes
