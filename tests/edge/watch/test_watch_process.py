"""The watch behind a recorder that the test plays, and behind a real one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, cycle

import numpy as np
import pytest
import zmq

from edge.cli import main
from edge.config import EdgeConfig
from edge.process import ProcessContext
from edge.recorder.process import run as record
from edge.watch.baseline import LEARNING_PICTURES, to_bytes
from edge.watch.files import accept_file, baseline_file
from edge.watch.looked import is_looked_at
from edge.watch.process import run as watch
from edge.watch.shown import PICTURE_TOPIC, Shown
from hardware.simulated_cameras import CameraPlan, SimulatedCameras
from retention.records.clock import from_text, to_micros
from retention.records.payloads import GapCause, SceneRole
from retention.store import footage
from retention.store.footage import GapRow
from retention.store.log import all_records
from tests.edge.counter_kit import config_for
from tests.edge.watch.conftest import learned
from tests.edge.watch.pictures_kit import View, key_picture

CAMERA = "till"
TOML = """
[node]
agency = "430100"
pharmacy = "P43010000001"
node = "node-a"
data = "{data}"
[[cameras]]
id = "till"
scene_role = "purchase"
url = "rtsp://127.0.0.1:1/stream"
[verification]
camera = "till"
"""
PATIENCE = 60.0


@contextmanager
def running(config: EdgeConfig, *targets: Callable[[ProcessContext], None]) -> Iterator[None]:
    """Run processes as threads; what they raise is raised at the end."""
    stop, failures = threading.Event(), []

    def guarded(target: Callable[[ProcessContext], None]) -> None:
        try:
            target(ProcessContext(config, stop, lambda: None, CAMERA))
        except BaseException as exc:
            failures.append(exc)
            raise

    threads = [threading.Thread(target=guarded, args=(target,)) for target in targets]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


def until(found: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline, f"{what} did not come"
        threading.Event().wait(0.05)


def view_gaps(config: EdgeConfig) -> list[GapRow]:
    store = config.open_store()
    try:
        with store.read() as connection:
            gaps = footage.gaps_between(connection, CAMERA, 0, 2**53)
    finally:
        store.close()
    return [gap for gap in gaps if gap.layer == "view"]


def kinds(config: EdgeConfig) -> list[str]:
    store = config.open_store()
    try:
        with store.read() as connection:
            return [record.kind for record in all_records(connection)]
    finally:
        store.close()


class FakeRecorder:
    """Publishes what it is told, as a recorder does."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], address: str) -> None:
        self._socket = context.socket(zmq.XPUB)
        self._socket.bind(address)

    def __enter__(self) -> FakeRecorder:
        if not self._socket.poll(20_000):  # until somebody subscribes
            self._socket.close()
            raise TimeoutError("nobody listens to the recorder")
        self._socket.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, packet: bytes, monotonic_ns: int, head: dict[str, object] | None = None) -> None:
        told = {"codec": "h264", "width": 640, "height": 480, "run": "r"}
        told |= {"received_monotonic_ns": monotonic_ns} | (head or {})
        self._socket.send_multipart([b"K", json.dumps(told).encode(), b"", packet])


@pytest.fixture
def config(tmp_path) -> EdgeConfig:
    return config_for(tmp_path)


@contextmanager
def recording(
    context: zmq.Context[zmq.Socket[bytes]], config: EdgeConfig
) -> Iterator[tuple[FakeRecorder, zmq.Socket[bytes]]]:
    """Run the watch with a recorder that the test plays, and somebody who looks."""
    with (
        running(config, watch),
        FakeRecorder(context, config.socket(f"packets-{CAMERA}")) as recorder,
        context.socket(zmq.SUB) as eyes,
    ):
        eyes.setsockopt(zmq.SUBSCRIBE, PICTURE_TOPIC)
        eyes.connect(config.socket("view"))
        yield recorder, eyes


def test_dark_pictures_become_a_gap_a_record_and_an_alarm_and_end_again(config, zmq_context):
    view = View("purchase")
    usable = [key_picture(view.at(float(t))) for t in range(6)]
    dark = key_picture(np.zeros((480, 640), np.uint8))
    start_ns = time.monotonic_ns() - 30_000_000_000  # the pictures tell their own times
    with recording(zmq_context, config) as (recorder, eyes):

        def at(second: int, packet: bytes) -> None:
            recorder.send(packet, start_ns + second * 1_000_000_000)
            assert eyes.poll(20_000)  # it was looked at
            topic, camera, told, jpeg = eyes.recv_multipart()
            assert (topic, camera, jpeg[:2]) == (PICTURE_TOPIC, CAMERA.encode(), b"\xff\xd8")
            assert Shown.model_validate_json(told).camera == CAMERA

        until(lambda: shows(recorder, eyes, usable[0], start_ns), "the first picture")
        for second in range(1, 4):
            at(second, usable[second])
        for second in range(4, 8):
            at(second, dark)
        until(lambda: view_gaps(config), "the gap")
        for second in range(8, 11):
            at(second, usable[second - 5])
        until(lambda: view_gaps(config)[0].ended_at is not None, "the end of the gap")
        until(lambda: "alarm.cleared" in kinds(config), "the end of the alarm")
    (gap,) = view_gaps(config)
    assert gap.cause == GapCause.VIEW_BLACK.value
    assert 3.9 <= (gap.ended_at - gap.started_at) / 1e6 <= 4.1  # from second 4 to second 8
    assert kinds(config) == [
        "camera.view_changed", "gap.opened", "alarm.raised",
        "camera.view_changed", "gap.closed", "alarm.cleared",
    ]  # fmt: skip


def test_garbage_neither_ends_the_watch_nor_tells_anything(config, zmq_context):
    usable = key_picture(View("purchase").at(0.0))
    with recording(zmq_context, config) as (recorder, eyes):
        now = time.monotonic_ns()
        recorder.send(b"\x00\x00\x00\x01 no picture", now)
        recorder.send(usable[: len(usable) // 2], now)
        recorder.send(usable, now, {"codec": "mjpeg"})
        recorder.send(b"", now)
        until(lambda: shows(recorder, eyes, usable, now), "a usable picture")
    assert kinds(config) == []


def test_condition_outlives_the_process_and_its_end_is_still_told(config, zmq_context):
    dark = key_picture(np.zeros((480, 640), np.uint8))
    usable = [key_picture(View("purchase").at(float(t))) for t in range(3)]
    seconds = count()

    def send(recorder: FakeRecorder, packet: bytes) -> None:
        recorder.send(packet, start_ns + next(seconds) * 1_000_000_000)

    start_ns = time.monotonic_ns() - 600_000_000_000
    with recording(zmq_context, config) as (recorder, _):
        until(lambda: send(recorder, dark) or view_gaps(config), "the gap")
    with recording(zmq_context, config) as (recorder, _):
        again = cycle(usable)
        until(lambda: send(recorder, next(again)) or view_gaps(config)[0].ended_at, "its end")
    assert len(view_gaps(config)) == 1


def shows(recorder: FakeRecorder, eyes: zmq.Socket[bytes], packet: bytes, ns: int) -> bool:
    """Send until whoever looks is known to the watch, and forget what was shown."""
    recorder.send(packet, ns)
    if not eyes.poll(200):
        return False
    while eyes.poll(300):
        eyes.recv_multipart()
    return True


def test_moved_camera_stays_moved_until_somebody_accepts_its_view(config, tmp_path, zmq_context):
    """Its usual view is known from an earlier run; it was turned while the node was off."""
    known = baseline_file(config, CAMERA)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_bytes(to_bytes(learned(View("purchase"))))
    turned = cycle([key_picture(View("purchase").at(float(t), across=0.3)) for t in range(3)])
    seconds, start_ns = count(), time.monotonic_ns() - 600_000_000_000
    file = tmp_path / "node.toml"
    file.write_text(TOML.format(data=tmp_path))

    def send(recorder: FakeRecorder) -> None:
        recorder.send(next(turned), start_ns + next(seconds) * 1_000_000_000)

    with recording(zmq_context, config) as (recorder, _):
        until(lambda: send(recorder) or view_gaps(config), "the gap")
        for _ in range(30):
            send(recorder)
        assert view_gaps(config)[0].ended_at is None
        accept = ["--author", "manager", "--reason", "new shelf"]
        assert main(["view", "accept", "--config", str(file), "--camera", CAMERA, *accept]) == 0
        until(lambda: send(recorder) or view_gaps(config)[0].ended_at, "the acceptance")
        until(lambda: not accept_file(config, CAMERA).exists(), "the file to go")
    assert [gap.cause for gap in view_gaps(config)] == ["view_moved"]
    assert "access.recorded" in kinds(config)
    refused = ["view", "accept", "--config", str(file), "--camera", "other", *accept]
    assert main(refused) == 2


def test_watch_closes_the_view_of_a_removed_camera_and_says_what_it_looked_at(config, zmq_context):
    store = config.open_store()
    with store.write() as connection:
        now = to_micros(store.clock.now())
        footage.open_gap(
            store, connection, "removed", SceneRole.DISPENSING, now, GapCause.VIEW_MOVED
        )
    usable = key_picture(View("purchase").at(0.0))
    with recording(zmq_context, config) as (recorder, eyes):
        assert not is_looked_at(config, store.clock, CAMERA)
        until(lambda: shows(recorder, eyes, usable, time.monotonic_ns()), "a picture")
        until(lambda: is_looked_at(config, store.clock, CAMERA), "the note")
    with store.read() as connection:
        assert footage.open_gaps(connection, "view") == []
    store.close()


# -- a real recorder and the simulated camera -----------------------------------------------------


def test_frozen_and_black_cameras_are_told_within_five_seconds(tmp_path):
    with ExitStack() as stack:
        cameras = stack.enter_context(SimulatedCameras([CameraPlan(CAMERA, 0, "purchase")]))
        config = config_for(
            tmp_path,
            cameras=[{"id": CAMERA, "scene_role": "purchase", "url": cameras.url(CAMERA)}],
            recording={"segment_seconds": 5},
        )
        control, faults = cameras.control(CAMERA), {}
        with running(config, record, watch):
            until(lambda: view_is_known(config), "the usual view")
            for name, cause in (("freeze", "view_frozen"), ("black", "view_black")):
                store = config.open_store()
                faults[cause] = to_micros(store.clock.now())
                store.close()
                getattr(control, name)()
                until(lambda cause=cause: has_open(config, cause), cause)
                control.resume()
                until(lambda: all(gap.ended_at for gap in view_gaps(config)), "the end")
    store = config.open_store()
    try:
        with store.read() as connection:
            written = {
                record.parse().payload["condition"]: to_micros(
                    from_text(record.parse().occurred_at)
                )
                for record in all_records(connection)
                if record.kind == "camera.view_changed"
            }
    finally:
        store.close()
    gaps = view_gaps(config)
    assert [gap.cause for gap in gaps] == ["view_frozen", "view_black"]
    for gap in gaps:
        # A picture taken just before the fault may come, and be repeated, after it.
        assert -1.5 <= (gap.started_at - faults[gap.cause]) / 1e6 <= 2.5
        slack = 2.0  # of a busy machine
        told = written[gap.cause.removeprefix("view_")]
        assert (told - faults[gap.cause]) / 1e6 <= 5.0 + slack


def test_second_stream_is_looked_at_instead_of_the_recorded_one(tmp_path, zmq_context):
    with ExitStack() as stack:
        cameras = stack.enter_context(SimulatedCameras([CameraPlan("sub", 0, "dispensing")]))
        camera = {"id": CAMERA, "scene_role": "dispensing", "url": "rtsp://127.0.0.1:1/main"}
        config = config_for(tmp_path, cameras=[camera | {"sub_url": cameras.url("sub")}])
        stack.enter_context(running(config, watch))
        eyes = stack.enter_context(zmq_context.socket(zmq.SUB))
        eyes.setsockopt(zmq.SUBSCRIBE, PICTURE_TOPIC)
        eyes.connect(config.socket("view"))
        assert eyes.poll(30_000)
        _, camera_id, told, _ = eyes.recv_multipart()
        assert (camera_id, Shown.model_validate_json(told).condition) == (CAMERA.encode(), "clear")
        cameras.control("sub").drop()  # it comes back by itself
        while eyes.poll(0):
            eyes.recv_multipart()
        assert eyes.poll(30_000)


def view_is_known(config: EdgeConfig) -> bool:
    """Tell whether so much was filmed that the watch knows the usual view."""
    store = config.open_store()
    try:
        with store.read() as connection:
            segments = footage.segments_between(connection, CAMERA, 0, 2**62)
    finally:
        store.close()
    filmed = sum(one.ended_at - one.started_at for one in segments) / 1e6
    return filmed > LEARNING_PICTURES + 2  # a key picture a second


def has_open(config: EdgeConfig, cause: str) -> bool:
    return any(gap.cause == cause and gap.ended_at is None for gap in view_gaps(config))
