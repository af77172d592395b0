"""What the face method rests on: models and calibration, loaded once, and the policy in force.

A policy that cannot be used (unreadable, not signed, not supported by the calibration, or asking
for a liveness signal that this node does not have) turns the face method off until it can be used
again. The policy that was in force before it never goes on in silence.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.config import EdgeConfig
from edge.verifier.kept_inputs import keep
from hardware.camera_identity import CameraIdentity, identity_of
from identity.bands import band_thresholds
from identity.calibration import LoadedCalibration, load_calibration
from identity.decision import Standing
from identity.errors import IdentityError, PolicyRefused
from identity.liveness.panel import not_working
from identity.policy import IdentityPolicy, load_policy
from identity.policy_files import SUFFIX, newest_begun, signed_policies
from models.errors import ModelsError
from models.runtime import LoadedModels, load_models
from retention.keyfiles import KeyRefused
from retention.records.clock import Clock
from retention.store import people
from retention.store.database import NodeStore, StoreUnavailable

_Stamp = tuple[tuple[str, int, int, int], ...]


class FaceMethodOff(Exception):
    """No face may be looked at now; the message is one line that says why."""


class PolicyWatch:
    """The policy in force, read again when its files change. Safe to share between threads.

    `require` is asked once about each policy before it is used: it raises IdentityError when this
    node cannot fulfil it, and StoreUnavailable when what decides cannot be kept.
    """

    def __init__(
        self,
        place: Path | None,
        key: str | None,
        *,
        clock: Clock,
        require: Callable[[IdentityPolicy], None],
    ) -> None:
        self._place, self._key, self._clock, self._require = place, key, clock, require
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
                # What was refused is read again each time: a file may become readable unchanged.
                self._stamp = stamp if self._refused is None else None
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
                self._require(policy)
                self._usable.add(policy.digest)
        except (IdentityError, StoreUnavailable) as exc:
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
    policy: IdentityPolicy,
    calibration: LoadedCalibration,
    models: LoadedModels,
    cameras: Sequence[CameraIdentity],
) -> None:
    """Raise IdentityError unless this node can fulfil a policy at one of its cameras at least."""
    standings: tuple[Standing, ...] = ("current", "stale")
    for standing in standings:
        band_thresholds(policy, calibration, standing)
    calibration.values.threshold(policy.matching.grey_false_match_rate)
    calibration.values.require_frames(policy.matching.frames)
    missing = missing_signals(policy, cameras, passive=models.passive is not None)
    if missing:
        names = ", ".join(missing)
        raise PolicyRefused(policy.name, f"liveness.required: {names} cannot work on this node")


def missing_signals(
    policy: IdentityPolicy, cameras: Sequence[CameraIdentity], *, passive: bool
) -> tuple[str, ...]:
    """Return the liveness signals that a policy requires and no camera of this node can give;
    `passive` says whether a passive model is installed."""
    each = [not_working(policy.liveness, camera, passive=passive) for camera in cameras]
    return min(each, key=len, default=())


def camera_identities(config: EdgeConfig) -> dict[str, CameraIdentity]:
    """Return what kind of device each camera is that people are looked at through, by its id."""
    cameras = [config.camera(name) for name in config.face_cameras]
    return {one.id: identity_of(one.url, simulated=one.simulated) for one in cameras}


@dataclass(frozen=True, slots=True)
class FaceMethod:
    """Everything the face method depends on, loaded and checked once for all counters."""

    models: LoadedModels
    calibration: LoadedCalibration
    policies: PolicyWatch


def load_method(config: EdgeConfig, store: NodeStore) -> FaceMethod:
    """Load and check models, calibration and keys, and mark references of another contract.

    Whether there is a policy to use now is asked at each use. Raises FaceMethodOff with one line,
    StoreUnavailable.
    """
    try:
        models = load_models(config.verification.models)
        calibration = load_calibration(models.embedder.contract_id)
        config.reference_keys().newest()  # what seals references must be there now, not later
    except (ModelsError, IdentityError, KeyRefused) as exc:
        raise FaceMethodOff(str(exc)) from exc
    cameras = tuple(camera_identities(config).values())

    def require(policy: IdentityPolicy) -> None:
        require_usable(policy, calibration, models, cameras)
        # What decides from now on is kept, so that its decisions can be replayed.
        keep(config, policy, calibration)

    place, key = config.verification.policy, config.policy_key
    policies = PolicyWatch(place, key, clock=store.clock, require=require)
    people.mark_outdated(store, models.embedder.contract_id)
    return FaceMethod(models, calibration, policies)
