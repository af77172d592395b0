"""Where the watch gets key pictures: from the recorder, or from a camera's second stream.

The recorder hands its key pictures on over a local socket, so a camera is not opened twice; where a
camera has a `sub_url`, a thread opens that and only its key pictures are looked at. Nothing else is
decoded. Pictures may be lost: evidence is recorded elsewhere.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import av
import structlog
import zmq
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from pydantic import Field, ValidationError

from hardware.errors import HardwareError
from hardware.packets import Transport, open_packets
from retention.records.fields import Frozen

log = structlog.get_logger()
KEY_TOPIC = b"K"
MOST_WAITING = 2
MOST_BYTES = 16 * 1024 * 1024
BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 5.0)


class KeyHead(Frozen):
    """What the recorder says of a key picture."""

    codec: Literal["h264", "hevc"]
    width: Annotated[int, Field(gt=0, le=16384)]
    height: Annotated[int, Field(gt=0, le=16384)]
    received_monotonic_ns: Annotated[int, Field(ge=0)]
    run: str


@dataclass(frozen=True, slots=True)
class Coded:
    """A compressed key picture of a camera, with the parameter sets to decode it by."""

    camera: str
    codec: str
    extradata: bytes
    packet: bytes
    received_monotonic_ns: int


class KeyDecoder:
    """Decodes key pictures of one camera, each by itself."""

    def __init__(self) -> None:
        self._made_for: tuple[str, bytes] | None = None
        self._context: VideoCodecContext | None = None

    def decode(self, coded: Coded) -> VideoFrame | None:
        """Return the picture, None when the bytes hold none."""
        if self._context is None or self._made_for != (coded.codec, coded.extradata):
            self._context = self._make(coded)
        context = self._context
        try:
            frames = [*context.decode(av.Packet(coded.packet)), *context.decode(None)]
            context.flush_buffers()
        except av.error.FFmpegError:
            self._context = None
            return None
        return frames[-1] if frames else None

    def _make(self, coded: Coded) -> VideoCodecContext:
        made = cast(VideoCodecContext, av.CodecContext.create(coded.codec, "r"))
        made.thread_count = 1
        if coded.extradata:
            made.extradata = coded.extradata
        self._made_for = (coded.codec, coded.extradata)
        return made


class RecorderPictures:
    """Key pictures as recorders publish them. Used by one thread."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], addresses: Iterable[tuple[str, str]]
    ) -> None:
        """`addresses` are camera ids and the sockets of their recorders."""
        self._poller = zmq.Poller()
        self._cameras: dict[zmq.Socket[bytes], str] = {}
        for camera, address in addresses:
            socket = context.socket(zmq.SUB)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.RCVHWM, MOST_WAITING)
            socket.setsockopt(zmq.MAXMSGSIZE, MOST_BYTES)
            socket.setsockopt(zmq.SUBSCRIBE, KEY_TOPIC)
            socket.connect(address)
            self._cameras[socket] = camera
            self._poller.register(socket, zmq.POLLIN)

    def close(self) -> None:
        for socket in self._cameras:
            socket.close()

    def wait(self, milliseconds: int) -> Iterator[Coded]:
        """Yield what is there, after at most so long a wait for the first."""
        for socket, _ in self._poller.poll(milliseconds):
            coded = _read(self._cameras[socket], socket.recv_multipart(zmq.NOBLOCK))
            if coded is not None:
                yield coded


def _read(camera: str, frames: list[bytes]) -> Coded | None:
    match frames:
        case [topic, text, extradata, packet] if topic == KEY_TOPIC:
            try:
                head = KeyHead.model_validate_json(text)
            except ValidationError:
                log.warning("key_picture_unreadable", camera=camera)
                return None
            return Coded(camera, head.codec, extradata, packet, head.received_monotonic_ns)
        case _:
            log.warning("key_picture_unreadable", camera=camera)
            return None


class SecondStream:
    """Key pictures of a camera's second stream, read by a thread of its own."""

    def __init__(self, camera: str, url: str, transport: Transport, timeout: float) -> None:
        self._camera, self._url, self._transport, self._timeout = camera, url, transport, timeout
        self._waiting: deque[Coded] = deque(maxlen=MOST_WAITING)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"sub-{camera}", daemon=True)
        self._thread.start()

    def taken(self) -> Iterator[Coded]:
        """Yield what came since the last call. Raises RuntimeError when the thread ended."""
        if self._failure is not None:
            raise RuntimeError(f"the second stream of {self._camera} ended") from self._failure
        while self._waiting:
            yield self._waiting.popleft()

    def close(self) -> None:
        """Leave the camera."""
        self._stop.set()
        self._thread.join(self._timeout + 5.0)

    def _run(self) -> None:
        tries = 0
        try:
            while not self._stop.is_set():
                tries = 0 if self._read_until_it_fails() else tries + 1
                self._stop.wait(BACK_OFF_SECONDS[min(tries, len(BACK_OFF_SECONDS) - 1)])
        except BaseException as exc:
            self._failure = exc
            raise

    def _read_until_it_fails(self) -> bool:
        """Returns whether any key picture came."""
        came = False
        try:
            source = open_packets(
                self._url, transport=self._transport, timeout_seconds=self._timeout
            )
        except HardwareError as exc:
            log.warning("second_stream_unreachable", camera=self._camera, reason=str(exc))
            return False
        try:
            for received in source.packets():
                if self._stop.is_set():
                    break
                if received.packet.is_keyframe:
                    came = True
                    self._waiting.append(
                        Coded(
                            self._camera,
                            source.codec_name,
                            source.extradata,
                            bytes(received.packet),
                            received.received_monotonic_ns,
                        )
                    )
        except HardwareError as exc:
            log.warning("second_stream_interrupted", camera=self._camera, reason=str(exc))
        finally:
            source.close()
        return came
