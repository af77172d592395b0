"""`edge check` says before the node runs why no face could be looked at."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.checks import NodeCheck
from edge.config import EdgeConfig
from edge.face_check import face_items
from identity import policy as shipped
from identity.policy import parse_policy
from identity.policy_files import SUFFIX, sign
from models.folder import models_folder
from retention.keyfiles import KeyDirectory
from tests.edge.counter_kit import config_for

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DEFAULT = Path(shipped.__file__).with_name("policies") / "counter-default.toml"


def config_with(data: Path, simulated: bool = True, **verification: object) -> EdgeConfig:
    camera = {"id": "till", "scene_role": "purchase", "url": "rtsp://10.9.8.7:554/stream"}
    if simulated:
        camera |= {"url": "rtsp://127.0.0.1:1/stream", "simulated": True}
    return config_for(data, cameras=[camera], verification={"camera": "till"} | verification)


def said(config: EdgeConfig) -> dict[str, tuple[bool, str]]:
    """Return what is said of each thing that is checked; of several bands the last."""
    found = NodeCheck(tuple(face_items(config, NOW)))
    assert len(found.lines()) == len(found.items)
    return {item.what: (item.ok, item.detail) for item in found.items}


@pytest.fixture
def installed() -> Path:
    folder = models_folder(None)
    if not list(folder.glob("*.onnx")):
        pytest.skip("no models are installed on this machine")
    return folder


def policy_in(folder: Path, text: str, **changes: object) -> dict[str, object]:
    """Write a signed policy; return the keys that name it."""
    signer = KeyDirectory(folder / "authority").signer()
    path = folder / "policy.toml"
    path.write_text(text)
    signed = sign(parse_policy(text, "test"), signer)
    path.with_name(path.name + SUFFIX).write_bytes(signed)
    return {"policy": path, "policy_key": signer.public_key.hex()} | changes


def test_a_node_whose_faces_can_be_looked_at_says_what_each_amount_asks_for(
    tmp_path: Path, installed: Path
) -> None:
    items = face_items(config_with(tmp_path), NOW)
    assert [item for item in items if not item.ok] == []
    bands = [item.detail for item in items if item.what == "calibration"]
    assert "up to 1000.00 yuan" in bands[0]
    assert "any amount" in bands[-1]
    assert {"policy", "liveness", "face camera till", "reference key"} <= {i.what for i in items}


def test_missing_models_are_named_and_the_rest_is_still_checked(tmp_path: Path) -> None:
    found = said(config_with(tmp_path, models=tmp_path / "nowhere"))
    bad = {what for what, (ok, _) in found.items() if not ok}
    assert bad
    assert all(what.startswith("model") for what in bad)
    assert "models install" in next(found[what][1] for what in bad)
    assert found["policy"][0]


def test_a_policy_with_a_wrong_signature_is_refused(tmp_path: Path) -> None:
    named = policy_in(tmp_path, DEFAULT.read_text())
    assert said(config_with(tmp_path, **named))["policy"][0]
    assert not said(config_with(tmp_path, **(named | {"policy_key": "00" * 32})))["policy"][0]
    assert not said(config_with(tmp_path, **(named | {"policy_key": None})))["policy"][0]
    (tmp_path / "policy.toml").write_text(DEFAULT.read_text().replace('"1e-4"', '"1e-3"', 1))
    ok, detail = said(config_with(tmp_path, **named))["policy"]
    assert not ok
    assert "policy.toml" in detail


def test_a_rate_that_the_calibration_cannot_show_is_told(tmp_path: Path, installed: Path) -> None:
    unsupported = DEFAULT.read_text().replace('"2e-5"', '"1e-9"')
    ok, detail = said(config_with(tmp_path, **policy_in(tmp_path, unsupported)))["calibration"]
    assert not ok
    assert "not supported" in detail


def test_a_liveness_signal_that_this_node_does_not_have_is_told(
    tmp_path: Path, installed: Path
) -> None:
    deep = DEFAULT.read_text().replace('required = ["camera"', 'required = ["depth", "camera"')
    assert deep != DEFAULT.read_text()
    ok, detail = said(config_with(tmp_path, **policy_in(tmp_path, deep)))["liveness"]
    assert not ok
    assert "depth" in detail


def test_a_virtual_camera_is_refused_outside_simulations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(config_with(tmp_path, simulated=False))["face camera till"][0]
    assert said(config_with(tmp_path))["face camera till"][0]
    monkeypatch.delenv("COUNTERSIGHT_SIMULATION")
    ok, detail = said(config_with(tmp_path))["face camera till"]
    assert not ok
    assert "虚拟摄像头" in detail


def test_keys_that_were_not_handed_over_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert said(config_with(tmp_path))["reference key"][0]
    ok, detail = said(config_with(tmp_path, reference_key="credential"))["reference key"]
    assert not ok
    assert "credential" in detail
