from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from edge.config import CameraConfig, EdgeConfig
from edge.recorder.process import encode_plan
from hardware.packets import EncodePlan
from retention.records.errors import UsageError
from tests.edge.counter_kit import config_for


def camera(**changes: object) -> CameraConfig:
    return CameraConfig.model_validate({"id": "cam", "scene_role": "purchase", **changes})


def test_film_is_refused_for_a_camera_that_is_not_simulated():
    for key in ("url", "sub_url"):
        said = {"url": "rtsp://camera/stream", key: "file:///film.mp4"}
        with pytest.raises(ValidationError, match="needs simulated = true"):
            camera(**said)
        assert camera(**said, simulated=True).simulated


@pytest.mark.parametrize("url", ["http://camera/", "v4l2://dev/video0", "file://film.mp4", "x"])
def test_address_of_another_kind_is_refused(url):
    with pytest.raises(ValidationError, match="url"):
        camera(url=url, simulated=True)


def test_usb_camera_is_encoded_as_configured():
    usb = camera(url="v4l2:///dev/video0", encode_width=640, encode_height=480, encode_fps=12.5)
    assert usb.is_usb
    assert encode_plan(usb) == EncodePlan(640, 480, 12.5, 2_000_000)
    with pytest.raises(ValidationError, match="encode_width"):
        camera(url="v4l2:///dev/video0", encode_width=641)


def test_camera_of_the_counter_may_not_be_one_that_only_its_recorder_can_read(tmp_path):
    tree = {
        "node": {"agency": "430100", "pharmacy": "P1", "node": "a", "data": str(tmp_path)},
        "cameras": [{"id": "cam", "scene_role": "purchase", "url": "v4l2:///dev/video0"}],
        "verification": {"camera": "cam"},
    }
    with pytest.raises(ValidationError, match="is a USB camera"):
        EdgeConfig.model_validate(tree)
    tree["cameras"].append({"id": "rtsp", "scene_role": "purchase", "url": "rtsp://camera/1"})
    tree["verification"] = {"camera": "rtsp"}
    assert EdgeConfig.model_validate(tree).camera("cam").is_usb


def test_sockets_of_a_long_path_are_never_put_where_another_user_owns_the_folder(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    config = config_for(Path("/", *["long"] * 30))
    folder = Path(config.socket("live").removeprefix("ipc://")).parent
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(UsageError, match="another user"):
        config.socket("live")
