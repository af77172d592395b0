"""The RTSP server answers nonsense with a status, and waits for nobody."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.simulated_cameras import SimulatedCameras
from hardware.simulated_rtp import AccessUnit, H264Track
from hardware.simulated_rtsp_messages import (
    MAX_HEAD_BYTES,
    METHODS,
    RtspRefusal,
    Transport,
    choose_transport,
    content_length,
    parse_request,
    sequence_of,
)

if TYPE_CHECKING:
    from tests.hardware.conftest import ServerInThread

SPS, PPS, IDR, P = b"\x67\x42\xc0\x1e", b"\x68\xce", b"\x65", b"\x41"


class Client:
    """A hand-driven RTSP client."""

    def __init__(self, url: str) -> None:
        self.url = url
        host, port = url.split("/")[2].split(":")
        self.socket = socket.create_connection((host, int(port)), 5)
        self.sequence = 0

    def ask(self, method: str, tail: str = "", **headers: str) -> tuple[int, str]:
        self.sequence += 1
        lines = [f"{method} {self.url}{tail} RTSP/1.0", f"CSeq: {self.sequence}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        status, text = self.raw(("\r\n".join(lines) + "\r\n\r\n").encode())
        assert f"CSeq: {self.sequence}" in text
        return status, text

    def raw(self, request: bytes) -> tuple[int, str]:
        self.socket.sendall(request)
        return self.answer()

    def answer(self) -> tuple[int, str]:
        text = b""
        while b"\r\n\r\n" not in text:
            piece = self.socket.recv(1)
            if not piece:
                return 0, ""
            text += piece
        length = re.search(rb"Content-Length: (\d+)", text)
        for _ in range(int(length[1]) if length else 0):
            text += self.socket.recv(1)
        return int(text.split()[1]), text.decode()

    def setup(self, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1") -> str:
        status, text = self.ask("SETUP", "/trackID=0", Transport=transport)
        assert status == 200
        found = re.search(r"Session: (\w+)", text)
        assert found is not None
        return found[1]

    def is_closed(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


@pytest.fixture
def client(cameras: SimulatedCameras) -> Iterator[Client]:
    client = Client(cameras.url("desk"))
    yield client
    client.socket.close()


def test_options_names_every_method(client: Client) -> None:
    status, text = client.ask("OPTIONS")
    assert status == 200
    assert all(method in text for method in METHODS)


def test_describe_announces_parameter_sets(client: Client) -> None:
    status, text = client.ask("DESCRIBE", Accept="application/sdp")
    assert status == 200
    assert re.search(r"sprop-parameter-sets=[\w+/=]+,[\w+/=]+", text)
    assert "a=rtpmap:96 H264/90000" in text


@pytest.mark.parametrize(
    ("method", "tail", "headers", "status"),
    [
        ("DESCRIBE", "/elsewhere", {}, 404),
        ("DESCRIBE", "", {"Accept": "text/html"}, 406),
        ("SETUP", "/trackID=9", {"Transport": "RTP/AVP/TCP;interleaved=0-1"}, 404),
        ("SETUP", "/trackID=0", {}, 461),
        ("SETUP", "/trackID=0", {"Transport": "RTP/AVP;multicast"}, 461),
        ("SETUP", "/trackID=0", {"Transport": "RTP/AVP;unicast;client_port=80-81"}, 461),
        ("SETUP", "/trackID=0", {"Transport": "RTP/AVP/TCP;interleaved=7-3"}, 461),
        ("PLAY", "", {}, 455),
        ("PLAY", "", {"Session": "stolen"}, 454),
        ("TEARDOWN", "", {}, 455),
        ("GET_PARAMETER", "", {"Session": "stolen"}, 454),
        ("RECORD", "", {}, 405),
        ("FETCH", "", {}, 501),
        ("OPTIONS", "", {"Require": "the-impossible"}, 551),
    ],
)
def test_a_wrong_request_gets_its_status_and_the_connection_lives(
    client: Client, method: str, tail: str, headers: dict[str, str], status: int
) -> None:
    assert client.ask(method, tail, **headers)[0] == status
    assert client.ask("OPTIONS")[0] == 200


def test_a_second_play_needs_the_session_and_setup_is_refused_while_playing(
    client: Client,
) -> None:
    session = client.setup()
    assert client.ask("PLAY")[0] == 454
    assert client.ask("PLAY", Session=session)[0] == 200


def test_setup_while_playing_is_refused(client: Client, cameras: SimulatedCameras) -> None:
    other = "RTP/AVP;unicast;client_port=40000-40001"
    session = client.setup(other)
    assert client.ask("PLAY", Session=session)[0] == 200
    assert client.ask("SETUP", "/trackID=0", Transport=other, Session=session)[0] == 455
    assert client.ask("TEARDOWN", Session=session)[0] == 200
    assert client.ask("PLAY", Session=session)[0] == 454


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\r\n\r\n", 400),
        (b"DESCRIBE\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nCSeq: 1\r\n\r\n", 400),
        (b"OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n", 505),
        (b"OPTIONS * RTSP/1.0\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: one\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nno colon\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: -4\r\n\r\n", 400),
        (b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"OPTIONS * RTSP/1.0\r\nX: " + b"y" * (2 * MAX_HEAD_BYTES), 413),
    ],
)
def test_nonsense_is_answered_and_the_camera_goes_on(
    cameras: SimulatedCameras, client: Client, request_bytes: bytes, status: int
) -> None:
    assert client.raw(request_bytes)[0] == status
    if status in (400, 413):
        assert client.is_closed()
    other = Client(cameras.url("desk"))
    assert other.ask("OPTIONS")[0] == 200
    other.socket.close()


def test_interleaved_reports_of_the_client_are_skipped(client: Client) -> None:
    client.socket.sendall(b"$\x01\x00\x04abcd\r\n")
    assert client.ask("OPTIONS")[0] == 200


def test_a_client_that_reads_nothing_loses_pictures_and_delays_nobody(
    serve: Callable[[H264Track], ServerInThread],
) -> None:
    running = serve(H264Track(SPS, PPS, 15))
    slow, quick = Client(running.url), Client(running.url)
    for each in (slow, quick):
        session = each.setup()
        assert each.ask("PLAY", Session=session)[0] == 200
    quick.socket.settimeout(10)
    begun = time.monotonic()
    for ordinal in range(60):
        is_key = ordinal % 10 == 0
        body = (IDR if is_key else P) + bytes((ordinal,)) * 100_000
        running.send(AccessUnit((body,), is_key, ordinal * 6_000, ordinal / 15))
        wanted, got = 100_000, 0
        while got < wanted:
            got += len(quick.socket.recv(262_144))
    assert time.monotonic() - begun < 60
    assert running.server.playing == 2
    assert running.server.pictures_dropped > 0
    for each in (slow, quick):
        each.socket.close()


def test_a_slow_client_resumes_at_a_key_picture(
    serve: Callable[[H264Track], ServerInThread],
) -> None:
    running = serve(H264Track(SPS, PPS, 15))
    slow = Client(running.url)
    assert slow.ask("PLAY", Session=slow.setup())[0] == 200
    ordinal = 0
    while running.server.pictures_dropped == 0:
        is_key = ordinal % 10 == 0
        body = (IDR if is_key else P) + b"x" * 100_000
        running.send(AccessUnit((body,), is_key, ordinal * 6_000, ordinal / 15))
        ordinal += 1
        assert ordinal < 500
    kinds: list[tuple[int, bool]] = []
    stream = slow.socket.makefile("rb")
    slow.socket.settimeout(10)
    # Everything sent so far is read; then pictures are offered until one arrives.
    seen_gap = False
    while not seen_gap:
        running.send(AccessUnit((P + b"small",), False, ordinal * 6_000, ordinal / 15))
        ordinal += 1
        running.send(AccessUnit((IDR + b"small",), True, ordinal * 6_000, ordinal / 15))
        ordinal += 1
        head = stream.read(4)
        packet = stream.read(int.from_bytes(head[2:], "big"))
        if head[1] == 0:
            rtp_time, kind = int.from_bytes(packet[4:8], "big") // 6_000, packet[12] & 31
            seen_gap = bool(kinds) and rtp_time > kinds[-1][0] + 1
            kinds.append((rtp_time, kind in (5, 7, 8)))
        assert ordinal < 20_000
    assert kinds[-1][1], "after a gap the first packet belongs to a key picture"
    stream.close()
    slow.socket.close()


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(head: bytes) -> None:
    sequence_of(head)
    for read in (content_length, parse_request):
        with suppress(RtspRefusal):
            read(head)


@given(st.text(alphabet="RTPAVP/UDC;,=-0123456789interleavedunicast_port ", max_size=120))
def test_no_transport_header_breaks_the_choice(header: str) -> None:
    with suppress(RtspRefusal):
        chosen = choose_transport(header)
        assert 0 <= chosen.first < chosen.second <= 65_535


def test_the_first_servable_transport_is_chosen() -> None:
    offers = "RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=2-3,RTP/AVP;client_port=5000-5001"
    assert choose_transport(offers) == Transport(True, 2, 3)
