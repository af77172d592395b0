"""Where due footage may be found: what policies let go, without the stretches that holds keep.

Pure. A search over these ranges looks at nothing that is kept anyway, however much that is.
"""

from __future__ import annotations

from collections.abc import Iterator

from retention.policy import HeldScope, due_ranges
from retention.records.clock import to_micros
from retention.standing import Standing


def footage_ranges(standing: Standing, camera: str) -> list[tuple[int, int]]:
    """Return where due segments of a camera may have ended, without what is held over all of it."""
    found = [
        (to_micros(after), to_micros(until))
        for after, until in due_ranges("footage", standing.policies, standing.now)
    ]
    for span in (span for hold in standing.holds for span in _spans(hold, camera)):
        found = [part for whole in found for part in _without(whole, span)]
    return found


def _spans(hold: HeldScope, camera: str) -> Iterator[tuple[int, int]]:
    for span in hold.spans:
        if not span.cameras or camera in span.cameras:
            yield to_micros(span.started_at), to_micros(span.ended_at)


def _without(whole: tuple[int, int], held: tuple[int, int]) -> list[tuple[int, int]]:
    """Cut what ended inside a held span out of (after, until]."""
    after, until = whole
    start, end = held
    parts = [(after, min(until, start)), (max(after, end), until)]
    return [part for part in parts if part[0] < part[1]]
