"""What the face method rests on: models and calibration, loaded once, and the policy in force.

A policy that cannot be used (unreadable, not signed, not supported by the calibration, or asking
for a liveness signal that this node does not have) turns the face method off until it can be used
again. The policy that was in force before it never goes on in silence.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.config import EdgeConfig
from identity.calibration import LoadedCalibration, load_calibration
from identity.errors import IdentityError, PolicyRefused
from identity.policy import IdentityPolicy, SignalName, load_policy
from identity.policy_files import SUFFIX, newest_begun, signed_policies
from models.errors import ModelsError
from models.runtime import LoadedModels, load_models
from retention.records.clock import Clock

# Every signal of the set but the passive model (it may be installed) and depth (no sensor yet).
ALWAYS_THERE: frozenset[SignalName] = frozenset(
    ("camera", "replay", "motion", "planarity", "challenge")
)

_Stamp = tuple[tuple[str, int, int, int], ...]


class FaceMethodOff(Exception):
    """No face may be looked at now; the message is one line that says why."""


class PolicyWatch:
    """The policy in force, read again when its files change. Safe to share between threads."""

    def __init__(
        self,
        place: Path | None,
        key: str | None,
        *,
        models: LoadedModels,
        calibration: LoadedCalibration,
        clock: Clock,
    ) -> None:
        self._place, self._key, self._clock = place, key, clock
        self._models, self._calibration = models, calibration
        self._lock = threading.Lock()
        self._stamp: _Stamp | None = None
        self._known: tuple[IdentityPolicy, ...] = ()
        self._refused: str | None = None
        self._usable: set[str] = set()

    def in_force(self) -> IdentityPolicy:
        """Return the policy in force now. Raises FaceMethodOff."""
        with self._lock:
            stamp = _stamp(self._place)
            if stamp != self._stamp:
                self._read()
                self._stamp = stamp
            if self._refused is not None:
                raise FaceMethodOff(self._refused)
            return self._newest()

    def _read(self) -> None:
        self._known, self._refused, self._usable = (), None, set()
        try:
            if self._place is None:  # it ships with the software and is always in force
                self._known = (load_policy(),)
            else:
                self._known = signed_policies(self._place, self._key)
        except PolicyRefused as exc:
            self._refused = str(exc)

    def _newest(self) -> IdentityPolicy:
        try:
            if self._place is None:
                policy = self._known[0]
            else:
                policy = newest_begun(self._known, self._clock.now(), self._place)
            if policy.digest not in self._usable:
                require_usable(policy, self._calibration, self._models)
                self._usable.add(policy.digest)
        except IdentityError as exc:
            raise FaceMethodOff(str(exc)) from exc
        return policy


def _stamp(place: Path | None) -> _Stamp:
    """Return what changes when a policy file changes; what is not there changes by coming."""
    if place is None:
        return ()
    return tuple(_facts(path) for path in _files(place))


def _files(place: Path) -> Iterable[Path]:
    if place.is_dir():
        return sorted([*place.glob("*.toml"), *place.glob(f"*.toml{SUFFIX}")])
    return place, place.with_name(place.name + SUFFIX)


def _facts(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return path.name, 0, 0, 0
    return path.name, found.st_mtime_ns, found.st_size, found.st_ino


def require_usable(
    policy: IdentityPolicy, calibration: LoadedCalibration, models: LoadedModels
) -> None:
    """Raise UnsupportedFalseMatchRate or PolicyRefused unless this node can fulfil a policy."""
    comparisons = policy.transaction.comparisons
    rates = [band.false_match_rate for band in policy.bands]
    for rate in (*rates, policy.matching.stale_false_match_rate):
        calibration.values.threshold(rate / comparisons)
    calibration.values.threshold(policy.matching.grey_false_match_rate)
    there = ALWAYS_THERE | ({"passive"} if models.passive is not None else set())
    missing = [name for name in policy.liveness.required if name not in there]
    if missing:
        raise PolicyRefused(
            policy.name, f"liveness.required names {', '.join(missing)}, which is not installed"
        )
    if "challenge" in policy.liveness.required and policy.liveness.challenge == "never":
        raise PolicyRefused(policy.name, "liveness.required names challenge, which is never asked")


@dataclass(frozen=True, slots=True)
class FaceMethod:
    """Everything the face method depends on, loaded and checked once for all counters."""

    models: LoadedModels
    calibration: LoadedCalibration
    policies: PolicyWatch


def load_method(config: EdgeConfig, clock: Clock) -> FaceMethod:
    """Load and check models, calibration and policy. Raises FaceMethodOff with one line."""
    try:
        models = load_models(config.verification.models)
        calibration = load_calibration(models.embedder.contract_id)
    except (ModelsError, IdentityError) as exc:
        raise FaceMethodOff(str(exc)) from exc
    policies = PolicyWatch(
        config.verification.policy,
        config.policy_key,
        models=models,
        calibration=calibration,
        clock=clock,
    )
    policies.in_force()
    return FaceMethod(models, calibration, policies)
