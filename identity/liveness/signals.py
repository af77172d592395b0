"""What one liveness signal says. A signal that cannot be computed is not assessed, never passed."""

from __future__ import annotations

import math
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


@dataclass(frozen=True, slots=True)
class About:
    """What a signal is: its unit, what it rests on, and what it cannot see."""

    name: str
    unit: str
    source: str
    blind_to: str


def passed(name: str, value: float | None = None, limit: float | None = None) -> Signal:
    """Return a signal that speaks for a living person."""
    return Signal(name, Verdict.PASS, value, limit, None)


def failed(name: str, reason: str, value: float | None, limit: float | None) -> Signal:
    """Return a signal that speaks against one."""
    return Signal(name, Verdict.FAIL, value, limit, reason)


def not_assessed(
    name: str,
    limit: float | None = None,
    *,
    value: float | None = None,
    reason: str = "LIVENESS_NOT_ASSESSED",
) -> Signal:
    """Return a signal that says nothing."""
    return Signal(name, Verdict.NOT_ASSESSED, value, limit, reason)


def at_least(name: str, value: float | None, limit: float, reason: str) -> Signal:
    """Judge a value that must reach a limit; without a finite value nothing was assessed."""
    if value is None or not math.isfinite(value):
        return not_assessed(name, limit)
    return passed(name, value, limit) if value >= limit else failed(name, reason, value, limit)


def at_most(name: str, value: float | None, limit: float, reason: str) -> Signal:
    """Judge a value that must not pass a limit; without a finite value nothing was assessed."""
    if value is None or not math.isfinite(value):
        return not_assessed(name, limit)
    return passed(name, value, limit) if value <= limit else failed(name, reason, value, limit)
