"""What a client sees when a camera misbehaves on command, and what it is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from hardware import packets
from hardware.errors import CameraEnded, CameraUnavailable, UnsupportedCodec
from hardware.frames import OpenCvFrames
from hardware.packets import RtspPackets, open_packets
from hardware.simulated_cameras import CameraControl, SimulatedCameras
from hardware.simulated_encoder import SimulatedEncoder
from hardware.simulated_people import Pixels
from hardware.simulated_rtp import AccessUnit, H264Track
from hardware.simulated_scene import Scene, Stamp, read_stamp

if TYPE_CHECKING:
    from tests.hardware.conftest import ServerInThread

FAR_AWAY = 3_600.0


@pytest.fixture
def control(cameras: SimulatedCameras) -> Iterator[CameraControl]:
    control = cameras.control("counter")
    yield control
    control.resume()
    control.plug()
    offset = control.status()["clock_offset_seconds"]
    assert isinstance(offset, float)
    control.jump_clock(-offset)


@pytest.fixture
def frames(cameras: SimulatedCameras, control: CameraControl) -> Iterator[OpenCvFrames]:
    frames = OpenCvFrames(cameras.url("counter"), timeout_seconds=3)
    assert frames.latest(0, 15) is not None
    yield frames
    frames.close()


def wait_for(frames: OpenCvFrames, wanted: Callable[[Pixels], bool], seconds: float = 20) -> Pixels:
    """Return the first picture that is as wanted; fails after the deadline."""
    deadline, ordinal = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        frame = frames.latest(ordinal, 1)
        if frame is not None:
            ordinal = frame.ordinal
            if wanted(frame.pixels):
                return frame.pixels
    pytest.fail("The camera never showed it")


def stamp_of(pixels: Pixels) -> Stamp:
    stamp = read_stamp(pixels)
    assert stamp is not None
    return stamp


def test_a_late_joiner_begins_at_a_key_picture_while_others_go_on(
    cameras: SimulatedCameras, frames: OpenCvFrames
) -> None:
    before = stamp_of(wait_for(frames, lambda p: read_stamp(p) is not None))
    source = open_packets(cameras.url("counter"))
    try:
        received = list(islice(source.packets(), 10))
        seen = [
            stamp_of(picture.to_ndarray(format="bgr24")).ordinal  # type: ignore[arg-type]
            for each in received
            for picture in each.packet.decode()
        ]
    finally:
        source.close()
    assert received[0].packet.is_keyframe
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    assert seen[0] > before.ordinal


def test_a_frozen_camera_keeps_sending_the_same_picture(
    frames: OpenCvFrames, control: CameraControl
) -> None:
    control.freeze()
    recent: list[Stamp] = []

    def five_alike(pixels: Pixels) -> bool:
        recent.append(stamp_of(pixels))
        return len(recent) >= 5 and len(set(recent[-5:])) == 1

    frozen = stamp_of(wait_for(frames, five_alike))
    control.resume()
    assert wait_for(frames, lambda p: stamp_of(p).ordinal > frozen.ordinal) is not None


def test_a_looped_camera_sends_the_same_pictures_again_and_then_new_ones(
    frames: OpenCvFrames, control: CameraControl
) -> None:
    wait_for(frames, lambda p: read_stamp(p) is not None)
    control.loop()
    shown: dict[int, list[bytes]] = {}

    def comes_again(pixels: Pixels) -> bool:
        shown.setdefault(stamp_of(pixels).ordinal, []).append(pixels.tobytes())
        return sum(len(same) > 2 for same in shown.values()) >= 5

    wait_for(frames, comes_again)
    assert all(len(set(same)) == 1 for same in shown.values())
    control.resume()
    assert wait_for(frames, lambda p: stamp_of(p).ordinal > max(shown)) is not None


def test_a_black_camera_sends_black(frames: OpenCvFrames, control: CameraControl) -> None:
    control.black()
    black = wait_for(frames, lambda p: float(p.mean()) < 2)
    assert read_stamp(black) is None
    control.resume()
    wait_for(frames, lambda p: read_stamp(p) is not None)


def test_a_jumped_clock_shows_in_the_picture_and_in_the_packets(
    cameras: SimulatedCameras, frames: OpenCvFrames, control: CameraControl
) -> None:
    before = stamp_of(wait_for(frames, lambda p: read_stamp(p) is not None))
    source = open_packets(cameras.url("counter"))
    try:
        packets = source.packets()
        first = next(packets).packet.pts
        control.jump_clock(FAR_AWAY)
        ticks = next(
            pts
            for each in islice(packets, 100)
            if (pts := each.packet.pts) is not None and pts > 1_000 * 90_000
        )
    finally:
        source.close()
    assert first is not None
    assert ticks - first == pytest.approx(FAR_AWAY * 90_000, abs=60 * 90_000)

    def has_jumped(pixels: Pixels) -> bool:
        moved = (stamp_of(pixels).clock_tenths - before.clock_tenths) % 864_000
        return moved >= FAR_AWAY * 10

    wait_for(frames, has_jumped)


def test_a_dropped_client_is_told_and_may_come_back(
    cameras: SimulatedCameras, control: CameraControl
) -> None:
    for transport in ("tcp", "udp"):
        source = open_packets(cameras.url("counter"), transport=transport, timeout_seconds=3)
        packets = source.packets()
        next(packets)
        control.drop()
        with pytest.raises((CameraEnded, CameraUnavailable)):
            for _ in packets:
                pass
        source.close()
    again = open_packets(cameras.url("counter"))
    assert next(again.packets()).packet.is_keyframe
    again.close()


def test_opencv_reconnects_after_a_drop(frames: OpenCvFrames, control: CameraControl) -> None:
    last = frames.latest(0, 5)
    assert last is not None
    control.drop()
    dropped_ns = time.monotonic_ns()
    deadline = time.monotonic() + 20
    while last is None or last.monotonic_ns < dropped_ns + 500_000_000:
        assert time.monotonic() < deadline
        last = frames.latest(last.ordinal if last else 0, 1) or last
    assert frames.healthy


def test_an_unplugged_camera_is_unavailable_until_plugged_in(
    cameras: SimulatedCameras, control: CameraControl
) -> None:
    source = open_packets(cameras.url("counter"), timeout_seconds=3)
    packets = source.packets()
    next(packets)
    control.unplug()
    with pytest.raises((CameraEnded, CameraUnavailable)):
        for _ in packets:
            pass
    source.close()
    with pytest.raises(CameraUnavailable):
        open_packets(cameras.url("counter"), timeout_seconds=3)
    control.plug()
    again = open_packets(cameras.url("counter"), timeout_seconds=5)
    assert next(again.packets()).packet.is_keyframe
    again.close()


def test_opencv_is_unhealthy_while_unplugged(frames: OpenCvFrames, control: CameraControl) -> None:
    control.unplug()
    deadline = time.monotonic() + 20
    while frames.healthy:
        assert time.monotonic() < deadline
        frames.latest(10**9, 0.1)
    control.plug()
    while not frames.healthy:
        assert time.monotonic() < deadline + 20
        frames.latest(10**9, 0.1)


@pytest.mark.parametrize("idle", ["close", "decode"])
def test_a_paused_source_forgets_and_comes_back(cameras: SimulatedCameras, idle: str) -> None:
    frames = OpenCvFrames(cameras.url("desk"), idle=idle)  # type: ignore[arg-type]
    try:
        first = frames.latest(0, 15)
        assert first is not None
        frames.pause()
        assert frames.latest(0, 0.2) is None
        assert frames.healthy
        if idle == "close":
            deadline = time.monotonic() + 10
            while cameras.control("desk").status()["clients"] != 0:
                assert time.monotonic() < deadline
        frames.resume()
        again = frames.latest(0, 15)
        assert again is not None
        assert again.ordinal > first.ordinal
    finally:
        frames.close()


@pytest.mark.parametrize(
    "place", ["rtsp://guard:s3cret@127.0.0.1:{closed}/stream", "rtsp://guard:s3cret@{open}/nothing"]
)
def test_a_refusing_address_is_unavailable_and_keeps_its_password(
    cameras: SimulatedCameras, place: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = unused.getsockname()[1]
        where = cameras.url("desk").split("/")[2]
        url = place.format(closed=closed, open=where)
        with pytest.raises(CameraUnavailable) as caught:
            open_packets(url, timeout_seconds=3)
    error = caught.value
    everything = f"{error!r} {error} {vars(error)} {error.__cause__!r} {error.__context__!r}"
    assert "s3cret" not in everything
    assert "guard" not in everything
    assert "127.0.0.1" in str(error)


def test_a_lost_connection_keeps_the_password_too(
    cameras: SimulatedCameras, control: CameraControl
) -> None:
    url = cameras.url("counter").replace("127.0.0.1", "guard:s3cret@127.0.0.1")
    source = open_packets(url, timeout_seconds=3)
    packets = source.packets()
    next(packets)
    control.drop()
    with pytest.raises((CameraEnded, CameraUnavailable)) as caught:
        for _ in packets:
            pass
    source.close()
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_opencv_says_nothing_about_the_address(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"rtsp://guard:s3cret@127.0.0.1:{unused.getsockname()[1]}/stream"
        frames = OpenCvFrames(url, timeout_seconds=1)
        assert frames.latest(0, 1) is None
        assert not frames.healthy
        frames.close()
    said = "".join(capfd.readouterr())
    assert "127.0.0.1" not in said
    assert "s3cret" not in said


class _Vp8Track:
    """Announces a codec that the product does not record, and sends nothing decodable."""

    def sdp(self) -> list[str]:
        return ["m=video 0 RTP/AVP 96", "a=rtpmap:96 VP8/90000"]

    def payloads(self, unit: AccessUnit) -> list[bytes]:
        return [b"\x10" + each for each in unit.units]


def test_another_codec_is_refused_by_name(
    serve: Callable[[_Vp8Track], ServerInThread],
) -> None:
    with pytest.raises(UnsupportedCodec) as caught:
        open_packets(serve(_Vp8Track()).url, timeout_seconds=3)
    assert caught.value.found == "vp8"
    assert "h264" in str(caught.value)


def test_a_camera_that_stops_sending_is_unavailable(
    serve: Callable[[H264Track], ServerInThread],
) -> None:
    encoder = SimulatedEncoder(
        160, 120, frames_per_second=15, bits_per_second=100_000, gop_seconds=1
    )
    scene = Scene(160, 120, people=None, seed=1, label="c")
    first, _ = encoder.encode(scene.frame(0), -1, force_key=True)
    running = serve(H264Track.from_key_picture(first, 15))
    pictures = iter(range(1_000_000))

    def feed_until_opened() -> None:
        while not done:
            at = next(pictures)
            units, is_key = encoder.encode(scene.frame(at / 15), at, force_key=at % 15 == 0)
            running.send(AccessUnit(units, is_key, at * 6_000, at / 15))
            stop.wait(0.03)

    done: list[bool] = []
    stop = threading.Event()
    feeder = threading.Thread(target=feed_until_opened)
    feeder.start()
    try:
        source = open_packets(running.url, timeout_seconds=1.5)
    finally:
        done.append(True)
        stop.set()
        feeder.join()
    with pytest.raises(CameraUnavailable):
        for _ in source.packets():
            pass
    source.close()


def test_silence_is_told_after_one_timeout_although_the_parser_still_held_a_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FFmpeg hands that picture out when a read fails; the next read would wait as long again."""
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0], monotonic_ns=lambda: int(now[0] * 1e9))
    monkeypatch.setattr(packets, "time", clock)

    def picture(number: int) -> Packet[VideoStream]:
        made = cast("Packet[VideoStream]", Packet(b"x"))
        made.pts = made.dts = number
        return made

    class Silent:
        def demux(self, _stream: object) -> Iterator[Packet[VideoStream]]:
            now[0] += 4.9
            yield picture(1)
            yield picture(2)
            now[0] += 5.0
            yield picture(3)
            pytest.fail("waited for the camera once more")

    seen: list[int | None] = []

    def read() -> None:
        container, stream = cast(InputContainer, Silent()), cast(VideoStream, None)
        for received in RtspPackets("rtsp://camera/", container, stream, 5.0).packets():
            seen.append(received.packet.pts)
            now[0] += 60.0  # the recorder is busy, the camera is not silent

    with pytest.raises(CameraUnavailable, match="no answer in time"):
        read()
    assert seen == [1, 2, 3]
