"""`edge check`: what cameras really send, whose clocks are wrong, and what a year needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from unittest.mock import Mock

import av
import pytest

from edge import camera_check
from edge.camera_check import Measured, StreamFacts, measure
from edge.checks import check_node
from edge.config import (
    CameraConfig,
    EdgeConfig,
    NodeConfig,
    OpeningConfig,
    RecordingConfig,
    VerificationConfig,
    VolumeConfig,
)
from edge.year_check import Year, open_share, room_bytes, year_of
from hardware.packets import ReceivedPacket
from hardware.simulated_camera import CameraPlan, PicturePlan
from hardware.simulated_cameras import SimulatedCameras
from tests.edge.recorder.conftest import encoded

TICK = Fraction(1, 1000)
OPEN = ("08:00-22:00",) * 7


def packet(dts: int, size: int, *, key: bool = False) -> ReceivedPacket:
    made = av.Packet(b"x" * size)
    made.dts = made.pts = dts
    made.is_keyframe = key
    return ReceivedPacket(made, (dts + 7000) * 1_000_000)


def facts(bits: int, stream: str = "main", codec: str = "h264") -> StreamFacts:
    return StreamFacts("cam", stream, "tcp", codec, 320, 240, Measured(10.0, bits, 1.0, None))


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    return EdgeConfig(
        node=NodeConfig(agency="430100", pharmacy="P1", node="node-a", data=tmp_path / "data"),
        cameras=(CameraConfig(id="cam", scene_role="purchase", url="rtsp://127.0.0.1:1/stream"),),
        verification=VerificationConfig(camera="cam"),
    )


def test_rates_are_measured_over_whole_groups_of_pictures():
    """A key picture of 1000 bytes and nine of 100 a second; the sample ends in another group, and
    the first was joined in its middle."""
    taken = [packet(at * 100, 100) for at in range(7)]  # what came before the first key picture
    taken += [packet(at * 100, 1000 if at % 10 == 0 else 100, key=at % 10 == 0)
              for at in range(10, 43) if at not in (11, 12, 13)]  # fmt: skip
    found = measure(taken, TICK, 0)
    assert found == Measured(10.0, 1900 * 8, 1.0, None)


def test_sample_with_one_key_picture_has_rates_but_no_distance():
    found = measure([packet(0, 500, key=True), packet(100, 100), packet(200, 100)], TICK, 0)
    assert found == Measured(10.0, 600 * 8 * 5, None, None)
    assert measure([packet(0, 500, key=True)], TICK, 0) == Measured(0.0, 0, None, None)
    assert measure([], TICK, 0) == Measured(0.0, 0, None, None)


def test_least_delay_of_the_sample_tells_the_camera_clock(monkeypatch):
    """The camera is 2 s ahead; the first packets waited half a second to be read."""
    taken = [packet(at * 100, 10) for at in range(5)]
    waited = [500, 500, 100, 20, 70]
    wall = 1_700_000_000_000_000
    said = {
        id(one.packet): one.received_monotonic_ns // 1000 + wall + 2_000_000 - late * 1000
        for one, late in zip(taken, waited, strict=True)
    }
    monkeypatch.setattr(camera_check, "camera_time_us", lambda packet: said[id(packet)])
    assert measure(taken, TICK, wall).clock_offset_ms == 1980


def test_week_is_open_as_configured():
    assert open_share(("open",) * 7) == 1
    assert open_share(OPEN) == pytest.approx(14 / 24)
    assert open_share(("closed",) * 6 + ("08:00-20:00",)) == pytest.approx(12 / 168)


def test_year_adds_up_recorded_streams_and_counts_what_is_held_as_room():
    year = Year(1_000, 0.5, room_bytes=600, held_bytes=400, measured=1, cameras=2)
    assert (year.enough, year.days, year.bytes_opening) == (True, 366, 500)
    assert "only 1 of 2" in year.said()
    assert not Year(1_000, 0.5, room_bytes=600, held_bytes=399, measured=1, cameras=1).enough


def test_sub_stream_is_not_part_of_the_year(config):
    year = year_of(config, [facts(8_000_000), facts(500_000, "sub")])
    assert year is not None
    assert year.bytes_24h == 1_000_000 * 86_400 * 366
    assert "year_bytes_24h" not in facts(1, "sub").to_json(1.0)
    assert year_of(config, [facts(500_000, "sub")]) is None


def test_hevc_is_said_not_to_be_replayable():
    assert facts(1, codec="h264").replayable
    assert "cannot replay" in facts(1, codec="hevc").said()
    assert facts(1, codec="hevc").to_json(1.0)["replayable_in_browser"] is False


def test_room_counts_each_file_system_once_and_a_disk_that_is_not_there_not_at_all(
    config, tmp_path
):
    plain = room_bytes(config)
    assert plain > 0
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    volumes = tuple(VolumeConfig(name=name, path=tmp_path / name) for name in ("a", "b", "gone"))
    named = config.model_copy(update={"recording": RecordingConfig(volumes=volumes)})
    assert room_bytes(named) == pytest.approx(plain, rel=0.2)
    found = {item.what: item for item in check_node(named).items}
    assert found["volume a"].ok
    assert not found["volume gone"].ok
    gone = RecordingConfig(volumes=volumes[2:])
    assert room_bytes(config.model_copy(update={"recording": gone})) == 0


class Untold:
    """A camera that sends packets without times, for ever."""

    stream, codec_name, width, height = Mock(time_base=TICK), "h264", 320, 240

    def packets(self) -> Iterator[ReceivedPacket]:
        while True:
            yield ReceivedPacket(av.Packet(b"x"), 0)

    def close(self) -> None:
        return


def test_camera_that_tells_no_times_ends_the_sample_and_is_bad(config, monkeypatch):
    monkeypatch.setattr(camera_check, "LONGEST_SAMPLE_SECONDS", 0.05)
    monkeypatch.setattr(camera_check, "open_packets", lambda *_, **__: Untold())
    (item,) = (one for one in check_node(config).items if one.what == "camera cam")
    assert not item.ok


@pytest.fixture(scope="module")
def cameras() -> Iterator[SimulatedCameras]:
    pictures = PicturePlan(width=320, height=240, frames_per_second=10.0, bits_per_second=200_000)
    with SimulatedCameras([CameraPlan("cam", 0, "purchase")], pictures=pictures) as running:
        yield running


def test_camera_is_measured_over_its_own_protocol_and_its_wrong_clock_is_told(
    config, cameras, tmp_path
):
    (tmp_path / "film.ts").write_bytes(encoded(192, 144, gops=4, encoder="libx265"))
    url = cameras.url("cam")
    sub = f"file://{tmp_path}/film.ts?speed=0"
    camera = CameraConfig(id="cam", scene_role="purchase", url=url, sub_url=sub, simulated=True)
    config = config.model_copy(
        update={
            "cameras": (camera, config.cameras[0].model_copy(update={"id": "gone"})),
            "opening": OpeningConfig(hours={"mon": "closed"}),
        }
    )
    control = cameras.control("cam")
    control.jump_clock(120.0)
    try:
        node = check_node(config)
    finally:
        control.jump_clock(-120.0)
    said = json.loads(json.dumps(node.to_json()))
    items = {item["what"]: item["ok"] for item in said["checks"]}
    assert (items["camera cam"], items["camera cam sub"]) == (True, True)
    assert items["camera gone"] is False
    main, second = said["cameras"]
    assert (main["codec"], main["width"], main["height"]) == ("h264", 320, 240)
    assert main["transport"] == "tcp"
    # A camera on a busy machine leaves pictures out; a key picture is every tenth.
    assert 1.0 < main["pictures_per_second"] < 10.5
    assert main["key_seconds"] == pytest.approx(10 / main["pictures_per_second"], rel=0.1)
    assert 118_000 < main["clock_offset_ms"] < 121_000
    assert main["year_bytes_24h"] == main["bits_per_second"] * 86_400 * 366 // 8
    assert main["replayable_in_browser"] is True
    assert (second["stream"], second["codec"], second["width"]) == ("sub", "hevc", 192)
    assert second["clock_offset_ms"] is None
    assert said["year"]["bytes_24h"] == main["year_bytes_24h"]
    assert said["year"]["open_share"] == pytest.approx(6 / 7, abs=0.001)
    assert (said["year"]["cameras_measured"], said["year"]["cameras"]) == (1, 2)
    lines = "\n".join(node.lines())
    for words in ("摄像头 camera cam: h264 320x240", "clock +1", "clock not told", "cannot replay",
                  "366 days at 24 h"):  # fmt: skip
        assert words in lines
    assert "一年所需 year:" in lines
