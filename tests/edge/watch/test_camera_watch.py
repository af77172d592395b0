"""One camera's watch by itself: decoding, what it writes and when."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edge.config import EdgeConfig
from edge.watch.baseline import to_bytes
from edge.watch.files import accept_file, baseline_file
from edge.watch.pictures import Coded, KeyDecoder
from edge.watch.process import AGAIN_SECONDS, CameraWatch
from retention.store.database import StoreUnavailable
from tests.edge.counter_kit import config_for
from tests.edge.watch.conftest import learned
from tests.edge.watch.pictures_kit import View, key_picture

CAMERA = "till"


@pytest.fixture
def config(tmp_path) -> EdgeConfig:
    return config_for(tmp_path)


def test_key_picture_is_decoded_by_itself():
    grey = View("dispensing").at(3.0)
    decoder = KeyDecoder()
    for _ in range(3):
        frame = decoder.decode(Coded(CAMERA, "h264", b"", key_picture(grey), 0))
        assert frame is not None
        assert abs(frame.to_ndarray(format="gray").astype(int) - grey).mean() < 4
    assert decoder.decode(Coded(CAMERA, "h264", b"", b"garbage", 0)) is None
    assert decoder.decode(Coded(CAMERA, "h264", b"", key_picture(grey), 0)) is not None


def test_accepted_view_does_not_come_back_with_a_restart(config, store):
    known, asked = baseline_file(config, CAMERA), accept_file(config, CAMERA)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_bytes(to_bytes(learned(View("purchase"))))
    asked.touch()
    CameraWatch(store, config, config.camera(CAMERA)).step()
    assert not asked.exists()
    assert not known.exists()


def test_database_that_cannot_be_written_is_not_asked_with_every_look(
    config, store, clock, monkeypatch
):
    asked = []

    def full(*_: object) -> None:
        asked.append(1)
        raise StoreUnavailable("disk full")

    monkeypatch.setattr("edge.watch.process.see_to_alarm", full)
    watched = CameraWatch(store, config, config.camera(CAMERA))
    clock.advance(timedelta(seconds=10))
    for _ in range(20):
        watched.step()
    assert len(asked) == 1
    clock.advance(timedelta(seconds=AGAIN_SECONDS))
    watched.step()
    assert len(asked) == 2
