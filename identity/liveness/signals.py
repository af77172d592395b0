"""What one liveness signal says. A signal that cannot be computed is not assessed, never passed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What one signal says."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: its value, the limit it had to reach (in its own unit), and the reason code when
    it did not pass."""

    name: str
    verdict: Verdict
    value: float | None
    limit: float | None
    reason: str | None
