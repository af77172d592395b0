"""Key pictures for the watch: sent only to who listens, and never at recording's expense."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import av
import pytest
import zmq

from edge.process import ProcessContext
from edge.recorder import process as recorder_process
from edge.recorder.process import run
from edge.recorder.sockets import KeyPictures, SealRequests
from hardware.packets import ReceivedPacket

DEADLINE_SECONDS = 20.0
RUN = "00000000-0000-7000-8000-000000000001"


@pytest.fixture
def address(tmp_path) -> str:
    return f"ipc://{tmp_path}/packets"


@pytest.fixture
def pictures(zmq_context, address) -> Iterator[KeyPictures]:
    with KeyPictures(zmq_context, address) as made:
        yield made


@pytest.fixture
def listener(zmq_context) -> Iterator[Callable[..., zmq.Socket[bytes]]]:
    made: list[zmq.Socket[bytes]] = []

    def connect(to: str, topic: bytes = b"K") -> zmq.Socket[bytes]:
        socket = zmq_context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, 1)
        socket.setsockopt(zmq.RCVTIMEO, round(DEADLINE_SECONDS * 1000))
        socket.setsockopt(zmq.RECONNECT_IVL, 10)
        socket.subscribe(topic)
        socket.connect(to)
        made.append(socket)
        return socket

    yield connect
    for socket in made:
        socket.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.01)


def received(size: int = 100, *, key: bool = True) -> ReceivedPacket:
    packet = av.Packet(b"\x65" * size)
    packet.is_keyframe = key
    return ReceivedPacket(packet, 7_000_000_000)


def test_nothing_is_sent_while_nobody_listens_and_again_when_the_last_one_left(
    pictures, listed, transport_stream, listener, address
):
    camera = listed(transport_stream)
    assert not pictures.publish(received(), camera, RUN)
    first, second = listener(address), listener(address, b"")
    until(lambda: pictures.publish(received(), camera, RUN))
    first.close()
    assert pictures.publish(received(), camera, RUN)
    second.close()
    until(lambda: not pictures.publish(received(), camera, RUN))


def test_message_tells_what_is_needed_to_decode_and_only_key_pictures_go_out(
    pictures, listed, transport_stream, listener, address
):
    camera = listed(transport_stream)
    socket = listener(address)
    until(lambda: pictures.publish(received(), camera, RUN))
    assert not pictures.publish(received(key=False), camera, RUN)
    topic, head, extradata, raw = socket.recv_multipart()
    assert (topic, extradata, raw) == (b"K", b"", b"\x65" * 100)
    assert json.loads(head) == {
        "codec": "h264",
        "width": 160,
        "height": 120,
        "received_monotonic_ns": 7_000_000_000,
        "run": RUN,
    }


def test_listener_that_does_not_read_is_dropped_for_not_waited_for(
    pictures, listed, transport_stream, listener, address
):
    camera, sent = listed(transport_stream), 60
    socket = listener(address)
    until(lambda: pictures.publish(received(), camera, RUN))
    for _ in range(sent):
        pictures.publish(received(1_000_000), camera, RUN)
    socket.setsockopt(zmq.RCVTIMEO, 500)
    got = 0
    try:
        while True:
            socket.recv_multipart()
            got += 1
    except zmq.Again:
        pass
    assert 1 <= got < sent // 2


def test_recorder_hands_on_the_key_pictures_it_records(
    config, listed, transport_stream, listener, monkeypatch
):
    monkeypatch.setattr(recorder_process.Backoff, "next_seconds", lambda _: 0.05)
    socket, stop = listener(config.socket("packets-cam")), threading.Event()
    got: list[list[bytes]] = []

    def take() -> None:
        while len(got) < 2:
            got.append(socket.recv_multipart())

    reader = threading.Thread(target=take)
    reader.start()
    cameras = iter(listed(transport_stream) for _ in range(200))

    def next_camera(_camera: object):
        if len(got) >= 2:
            stop.set()
        return next(cameras)

    run(ProcessContext(config, stop, lambda: None, "cam"), next_camera)
    reader.join(DEADLINE_SECONDS)
    assert not reader.is_alive()
    decoder = av.CodecContext.create("h264", "r")
    for frames in got:
        head = json.loads(frames[1])
        assert len(head["run"]) == 36
        found = decoder.decode(av.Packet(frames[3])) + decoder.decode(None)
        assert [(one.width, one.height) for one in found] == [(160, 120)]
        decoder = av.CodecContext.create("h264", "r")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("bad", ["seal", "pictures"])
def test_address_that_cannot_be_bound_ends_the_recorder_at_once(tmp_path, bad):
    """It used to wait for ever, in the end of its context, for the socket that was never bound."""
    good, nowhere = f"ipc://{tmp_path}/seal", f"ipc://{tmp_path}/no/folder"
    with (
        pytest.raises(zmq.ZMQError),
        SealRequests(nowhere if bad == "seal" else good) as requests,
    ):
        KeyPictures(requests.context, nowhere)
