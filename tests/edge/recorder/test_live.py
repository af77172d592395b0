"""The recorder as its own process against the simulated IP camera, over real RTSP."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from edge.config import CameraConfig, EdgeConfig, NodeConfig, RecordingConfig, VerificationConfig
from hardware.simulated_camera import CameraPlan, PicturePlan
from hardware.simulated_cameras import SimulatedCameras
from hardware.simulated_rtp import AccessUnit
from retention.check import Depth, check
from retention.store import footage
from retention.store.footage import GapRow, SegmentRow
from tests.hardware.conftest import ServerInThread
from tests.hardware.test_hevc import HevcTrack, encoded_pictures

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_SECONDS = 40.0
COMMAND = """
import signal, sys, threading
from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.recorder.process import run
from retention.signals import setting
stop = threading.Event()
signal.signal(signal.SIGTERM, setting(stop))
config = EdgeConfig.model_validate_json(sys.argv[1])
run(ProcessContext(config, stop, lambda: None, "cam"))
"""


@pytest.fixture(scope="module")
def cameras() -> Iterator[SimulatedCameras]:
    pictures = PicturePlan(width=320, height=240, frames_per_second=10.0, bits_per_second=200_000)
    with SimulatedCameras([CameraPlan("cam", 0, "purchase")], pictures=pictures) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, cameras: SimulatedCameras) -> EdgeConfig:
    camera = CameraConfig(
        id="cam",
        scene_role="purchase",
        url=cameras.url("cam"),
        timeout_seconds=2.0,
        simulated=True,
    )
    return EdgeConfig(
        node=NodeConfig(agency="430100", pharmacy="P1", node="node-a", data=tmp_path / "data"),
        cameras=(camera,),
        recording=RecordingConfig(segment_seconds=2),
        verification=VerificationConfig(camera="cam"),
    )


class Recorder:
    """Starts and ends the process; reads what it wrote."""

    def __init__(self, config: EdgeConfig) -> None:
        self.config = config
        self._store = config.open_store()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-c", COMMAND, self.config.model_dump_json()]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)

    def end(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            os.kill(self._process.pid, number)
            self._process.wait(DEADLINE_SECONDS)
            self._process = None

    def segments(self) -> list[SegmentRow]:
        with self._store.read() as connection:
            return sorted(footage.all_segments(connection), key=lambda row: row.started_at)

    def gaps(self) -> list[GapRow]:
        with self._store.read() as connection:
            return footage.gaps_between(connection, "cam", 0, 2**60)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.segments(), self.gaps())
            threading.Event().wait(0.1)

    def close(self) -> None:
        self.end(signal.SIGKILL)
        self._store.close()

    def assert_every_moment_is_explained(self) -> None:
        """From the first footage on, segments and gaps follow each other without a hole."""
        spans = [(row.started_at, row.ended_at) for row in self.segments()]
        spans += [(row.started_at, row.ended_at or 2**60) for row in self.gaps()]
        spans.sort()
        at = spans[0][0]
        for start, end in spans:
            assert start <= at + 1000, f"a hole of {start - at} microseconds"
            at = max(at, end)
        for row in self.segments():
            content = (self.config.footage_root / row.path).read_bytes()
            with av.open(io.BytesIO(content)) as container:
                assert sum(1 for _ in container.decode(video=0)) > 0
        assert check(self.config.node.data, Depth.DIGESTS).bad == []


@pytest.fixture
def recorder(config: EdgeConfig) -> Iterator[Recorder]:
    made = Recorder(config)
    yield made
    made.close()


def test_outages_of_a_real_stream_are_gaps_and_everything_else_is_footage(recorder, cameras):
    control = cameras.control("cam")
    recorder.start()
    recorder.until(lambda: len(recorder.segments()) >= 2)
    control.freeze()  # a frozen picture is footage: the stream goes on
    count = len(recorder.segments())
    recorder.until(lambda: len(recorder.segments()) > count)
    control.resume()
    assert recorder.gaps() == []

    control.drop()
    recorder.until(lambda: [gap.ended_at is None for gap in recorder.gaps()] == [False])
    count = len(recorder.segments())
    recorder.until(lambda: len(recorder.segments()) > count)

    control.unplug()
    recorder.until(lambda: len(recorder.gaps()) == 2)
    control.plug()
    recorder.until(lambda: recorder.gaps()[-1].ended_at is not None)

    recorder.until(lambda: recorder.segments()[-1].started_at > recorder.gaps()[-1].started_at)
    before, run = len(recorder.gaps()), recorder.segments()[-1].run
    control.jump_clock(3600.0)  # the camera's own: its media time leaps, ours does not
    recorder.until(lambda: recorder.segments()[-1].run != run)
    assert [gap.cause for gap in recorder.gaps()[before:]] in ([], ["stream_changed"])
    last = recorder.segments()[-1]
    assert abs(last.ended_at - time.time_ns() // 1000) < 60_000_000  # no hour ahead
    recorder.end()
    assert recorder.gaps()[-1].cause == "recorder_stopped"
    recorder.assert_every_moment_is_explained()


def test_killed_recorder_loses_at_most_the_open_gop_and_the_outage_is_a_gap(recorder):
    recorder.start()
    recorder.until(lambda: len(recorder.segments()) >= 1)
    recorder.until(lambda: any(recorder.config.footage_root.rglob("*.part")))
    recorder.end(signal.SIGKILL)
    killed_at = time.time_ns() // 1000
    sealed = len(recorder.segments())
    recorder.start()
    recorder.until(lambda: len(recorder.gaps()) == 1)
    recorder.until(lambda: recorder.gaps()[0].ended_at is not None)
    recorder.end()
    crash = recorder.gaps()[0]
    assert crash.cause == "recorder_crashed"
    # A key picture every second, so a second of footage; the rest is room for a busy machine.
    assert killed_at - crash.started_at < 6_000_000
    assert len(recorder.segments()) > sealed
    recorder.assert_every_moment_is_explained()


NODE = """
import sys
from edge.config import EdgeConfig
from edge.processes import process_table
from edge.supervisor import Supervisor
config = EdgeConfig.model_validate_json(sys.argv[1])
config.node.data.mkdir(parents=True, exist_ok=True)
Supervisor(config, process_table(config)[:1]).run()
"""


def test_failing_power_seals_what_there_is_and_the_gap_says_why(config):
    """A real supervisor, its recorder and a camera; SIGPWR is what a UPS daemon sends."""
    recorder = Recorder(config)
    command = [sys.executable, "-P", "-c", NODE, config.model_dump_json()]
    node = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        recorder.until(lambda: len(recorder.segments()) >= 1)
        recorder.until(lambda: any(recorder.config.footage_root.rglob("*.part")))
        node.send_signal(signal.SIGPWR)
        assert node.wait(DEADLINE_SECONDS) == 0
        assert list(recorder.config.footage_root.rglob("*.part")) == []
        (gap,) = recorder.gaps()
        assert (gap.cause, gap.started_at) == ("power_failing", recorder.segments()[-1].ended_at)
        recorder.assert_every_moment_is_explained()
    finally:
        node.kill()
        node.wait()
        recorder.close()


@pytest.fixture
def hevc_url() -> Iterator[str]:
    """The address of a camera that sends HEVC, a key picture every third of a second."""
    server, stop, pictures = ServerInThread(HevcTrack()), threading.Event(), encoded_pictures(30)

    def feed() -> None:
        at, began = 0, time.monotonic()
        while not stop.wait(max(0.0, began + at / 15 - time.monotonic())):
            units, is_key = pictures[at % len(pictures)]
            server.send(AccessUnit(units, is_key, at * 6_000, at / 15))
            at += 1

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield server.url
    finally:
        stop.set()
        feeder.join()
        server.close()


def test_hevc_is_recorded_checked_and_recovered_like_h264(config, hevc_url):
    camera = config.cameras[0].model_copy(update={"url": hevc_url})
    recorder = Recorder(config.model_copy(update={"cameras": (camera,)}))
    try:
        recorder.start()
        recorder.until(lambda: len(recorder.segments()) >= 1)
        recorder.until(lambda: any(recorder.config.footage_root.rglob("*.part")))
        recorder.end(signal.SIGKILL)
        recorder.start()
        recorder.until(lambda: [gap.ended_at is None for gap in recorder.gaps()] == [False])
        recorder.end()
        assert {row.codec for row in recorder.segments()} == {"hevc"}
        assert recorder.gaps()[0].cause == "recorder_crashed"
        recorder.assert_every_moment_is_explained()
    finally:
        recorder.close()
