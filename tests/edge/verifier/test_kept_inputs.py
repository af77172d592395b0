"""Policies and calibrations are kept by digest, and only true copies are used."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.verifier.kept_inputs import keep, kept_calibration, kept_policy
from identity.calibration import LoadedCalibration, load_calibration
from identity.policy import IdentityPolicy, load_policy
from retention.store.database import StoreUnavailable


@pytest.fixture
def policy() -> IdentityPolicy:
    return load_policy()


@pytest.fixture
def calibration() -> LoadedCalibration:
    return load_calibration(_contract_id())


def _contract_id() -> str:
    folder = Path(__file__).parents[3] / "identity" / "calibrations"
    (first, *_) = sorted(folder.glob("*.json"))
    found: str = json.loads(first.read_bytes())["contract_id"]
    return found


def test_what_was_kept_is_read_back_the_same(
    config: EdgeConfig, policy: IdentityPolicy, calibration: LoadedCalibration
) -> None:
    keep(config, policy, calibration)
    keep(config, policy, calibration)
    data = config.node.data
    assert kept_policy(data, policy.digest) == policy
    assert kept_calibration(data, calibration.digest) == calibration
    assert len(list((data / "identity").iterdir())) == 2


def test_every_policy_that_ever_decided_stays(
    config: EdgeConfig, policy: IdentityPolicy, calibration: LoadedCalibration
) -> None:
    later = policy.model_copy(update={"version": "99"})
    keep(config, policy, calibration)
    keep(config, later, calibration)
    assert kept_policy(config.node.data, policy.digest) == policy
    assert kept_policy(config.node.data, later.digest) == later


def test_what_is_not_there_or_was_changed_is_not_used(
    config: EdgeConfig, policy: IdentityPolicy, calibration: LoadedCalibration
) -> None:
    data = config.node.data
    assert kept_policy(data, policy.digest) is None
    assert kept_calibration(data, calibration.digest) is None
    keep(config, policy, calibration)
    for path in (data / "identity").iterdir():
        path.write_bytes(path.read_bytes().replace(b"0", b"1"))
    assert kept_policy(data, policy.digest) is None
    assert kept_calibration(data, calibration.digest) is None
    keep(config, policy, calibration)  # mends what was changed
    assert kept_policy(data, policy.digest) == policy


def test_a_copy_that_says_the_same_in_other_bytes_is_not_the_one_that_was_named(
    config: EdgeConfig, policy: IdentityPolicy, calibration: LoadedCalibration
) -> None:
    keep(config, policy, calibration)
    for path in (config.node.data / "identity").iterdir():
        path.write_bytes(path.read_bytes() + b"\n")
    assert kept_policy(config.node.data, policy.digest) is None
    assert kept_calibration(config.node.data, calibration.digest) is None


def test_a_policy_of_another_form_is_not_read_as_one(
    config: EdgeConfig, policy: IdentityPolicy, calibration: LoadedCalibration
) -> None:
    keep(config, policy, calibration)
    content = b'{"name":"of-next-year"}'
    digest = sha256(content).hexdigest()
    folder = config.node.data / "identity"
    for kind in ("policy", "calibration"):
        (folder / f"{kind}-{digest}.json").write_bytes(content)
    assert kept_policy(config.node.data, digest) is None
    assert kept_calibration(config.node.data, digest) is None


def test_a_disk_that_takes_nothing_is_one_clear_refusal(
    config: EdgeConfig, policy: IdentityPolicy, calibration: LoadedCalibration, tmp_path: Path
) -> None:
    (tmp_path / "identity").write_bytes(b"in the way")
    with pytest.raises(StoreUnavailable, match="identity"):
        keep(config, policy, calibration)
