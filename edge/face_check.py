"""What the face method needs, for `edge check`: models, policy, calibration, cameras, keys.

Says why the face method would be off, before the node runs. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from edge.checks import CheckItem
from edge.config import EdgeConfig
from edge.verifier.method import camera_identities, missing_signals
from hardware.camera_identity import CameraIdentity
from identity.bands import band_thresholds
from identity.calibration import LoadedCalibration, load_calibration
from identity.errors import IdentityError
from identity.policy import IdentityPolicy
from identity.policy_files import policy_in_force
from models.active import Active, active
from models.errors import ModelsError
from models.folder import models_folder, verified_path
from retention.keyfiles import KeyRefused


def face_items(config: EdgeConfig, now: datetime) -> list[CheckItem]:
    """Return every check of the face method, in order."""
    items: list[CheckItem] = []
    cameras = camera_identities(config)
    used = _models(config, items)
    policy = _policy(config, now, items)
    calibration = None if used is None else _calibration(used, items)
    if policy is not None and calibration is not None:
        items += _bands(policy, calibration)
    if policy is not None and used is not None:
        items.append(_liveness(policy, used, tuple(cameras.values())))
    items += [_camera(name, found) for name, found in cameras.items()]
    items.append(_keys(config))
    return items


def _models(config: EdgeConfig, items: list[CheckItem]) -> Active | None:
    folder = models_folder(config.verification.models)
    try:
        used = active(folder)
    except ModelsError as exc:
        items.append(CheckItem("model", False, str(exc)))
        return None
    for manifest in used.manifests:
        try:
            detail, ok = str(verified_path(manifest, folder)), True
        except ModelsError as exc:
            detail, ok = str(exc), False
        items.append(CheckItem(f"model {manifest.name}", ok, detail))
    return used


def _policy(config: EdgeConfig, now: datetime, items: list[CheckItem]) -> IdentityPolicy | None:
    place = config.verification.policy
    try:
        policy = policy_in_force(place, config.policy_key, now)
    except IdentityError as exc:
        items.append(CheckItem("policy", False, str(exc)))
        return None
    signed = "built in" if place is None else "its signature holds"
    detail = f"{policy.name} {policy.version}, since {policy.effective_from}, {signed}"
    items.append(CheckItem("policy", True, detail))
    return policy


def _calibration(used: Active, items: list[CheckItem]) -> LoadedCalibration | None:
    contract = used.embedding.contract
    if contract is None:
        items.append(CheckItem("calibration", False, "the embedding model has no contract"))
        return None
    try:
        return load_calibration(contract.contract_id)
    except IdentityError as exc:
        items.append(CheckItem("calibration", False, str(exc)))
        return None


def _bands(policy: IdentityPolicy, calibration: LoadedCalibration) -> Iterator[CheckItem]:
    """Say of each band which score it asks for, or that the calibration cannot show its rate."""
    try:
        bands = band_thresholds(policy, calibration, "current")
        band_thresholds(policy, calibration, "stale")
    except IdentityError as exc:
        yield CheckItem("calibration", False, str(exc))
        return
    for band in bands:
        amount = "any amount" if band.up_to is None else f"up to {band.up_to} yuan"
        rate = f"false match rate {band.false_match_rate:f} a transaction"
        yield CheckItem("calibration", True, f"{amount}: {rate}, score {band.threshold:.3f}")


def _liveness(
    policy: IdentityPolicy, used: Active, cameras: tuple[CameraIdentity, ...]
) -> CheckItem:
    missing = missing_signals(policy, cameras, passive=bool(used.passive))
    if missing:
        detail = f"{policy.name} requires {', '.join(missing)}, which cannot work on this node"
        return CheckItem("liveness", False, detail)
    return CheckItem("liveness", True, f"required: {', '.join(policy.liveness.required)}")


def _camera(camera: str, found: CameraIdentity) -> CheckItem:
    detail = f"{found.code} ({found.name})"
    if found.virtual:
        detail += ": 虚拟摄像头不作人脸核验 / a virtual camera is refused for faces"
    return CheckItem(f"face camera {camera}", not found.virtual, detail)


def _keys(config: EdgeConfig) -> CheckItem:
    source = config.verification.reference_key
    try:
        known = config.reference_keys().all()
    except KeyRefused as exc:
        return CheckItem("reference key", False, str(exc))
    if not known:
        return CheckItem("reference key", True, f"{source}: made at the first start")
    return CheckItem("reference key", True, f"{source}: {known[-1].key_id}, {len(known)} in all")
