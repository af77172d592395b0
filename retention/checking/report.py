"""What a check found: findings in the order of their depth, so the first is the deepest cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

MOST_FINDINGS = 100


class Depth(IntEnum):
    """How far a check looks."""

    ROWS = 1
    SIZES = 2
    DIGESTS = 3


@dataclass(frozen=True, slots=True)
class Bad:
    """One thing that is not as it must be."""

    check: str
    subject: str
    detail: str


@dataclass(slots=True)
class Report:
    """What was looked at and what was found; `skipped` says what could not be checked and why."""

    depth: Depth
    counts: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.bad

    def to_json(self) -> dict[str, object]:
        found = [{"check": b.check, "subject": b.subject, "detail": b.detail} for b in self.bad]
        return {
            "ok": self.ok,
            "depth": self.depth.name.lower(),
            "first_bad": found[0] if found else None,
            "bad": found,
            "counts": self.counts,
            "skipped": self.skipped,
        }
