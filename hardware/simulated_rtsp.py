"""A real RTSP server on loopback for the simulated camera.

Speaks RTSP 1.0 over TCP and sends RTP either inside that connection or to two UDP ports.
Every client starts at a key picture. A client that does not read is never waited for: when
its buffer is full it loses whole pictures until the next key picture, and nobody else
notices. A session ends with its connection; UDP goes only to the address that asked.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from hardware.simulated_rtp import AccessUnit, RtpSender, Track
from hardware.simulated_rtsp_messages import (
    MAX_HEAD_BYTES,
    METHODS,
    Request,
    RtspRefusal,
    choose_transport,
    content_length,
    parse_request,
    reply,
    sequence_of,
)

STREAM_PATH = "/stream"
_TRACK_PATH = "/stream/trackID=0"
_MAX_BUFFERED_BYTES = 512 * 1024
# Kernels buffer megabytes on loopback; a slow client should be noticed sooner.
_KERNEL_BUFFER_BYTES = 128 * 1024
_REPORT_EVERY_SECONDS = 5.0
_SESSION_TIMEOUT_SECONDS = 60


class RtspServer:
    """Serves one live track to any number of clients; belongs to one asyncio loop."""

    def __init__(self, track: Track, *, host: str = "127.0.0.1") -> None:
        self._track, self._host = track, host
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.plugged = True

    async def start(self, port: int = 0) -> int:
        """Listen; return the port. Raises ``OSError`` when the port is taken."""
        self._server = await asyncio.start_server(
            self._serve, self._host, port, limit=MAX_HEAD_BYTES
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, cut every connection, and wait until each has noticed."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self.drop_clients()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def playing(self) -> int:
        """Return how many clients are being sent pictures."""
        return sum(client.is_playing for client in self._clients)

    @property
    def clients(self) -> int:
        """Return how many connections are open."""
        return len(self._clients)

    @property
    def pictures_dropped(self) -> int:
        """Return how many pictures were withheld from the present slow clients."""
        return sum(client.dropped for client in self._clients)

    def send(self, unit: AccessUnit) -> None:
        """Hand one picture to every playing client; never waits."""
        payloads = self._track.payloads(unit)
        for client in tuple(self._clients):
            client.send(unit, payloads)

    def drop_clients(self) -> None:
        """Cut every connection now, as a power failure would."""
        for client in tuple(self._clients):
            client.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(reader, writer, self._track, self._host)
        if not self.plugged:
            client.abort()
            return
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
        self._clients.add(client)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await client.run()
        finally:
            self._clients.discard(client)
            client.close()


class _Client:
    """One connection: its session's state, and where its pictures go."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        track: Track,
        host: str,
    ) -> None:
        self._reader, self._writer, self._track, self._host = reader, writer, track, host
        self._session: str | None = None
        self._sender = RtpSender(secrets.randbits(32), secrets.randbits(16))
        self._channels: tuple[int, int] | None = None
        self._sockets: tuple[socket.socket, socket.socket] | None = None
        self._at_key = self._has_begun = False
        self._reported_at: float | None = None
        self.is_playing = False
        self.dropped = 0

    async def run(self) -> None:
        """Answer requests until the client leaves, is cut off, or sends nonsense too big."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer_one():
                await self._writer.drain()

    async def _answer_one(self) -> bool:
        first = await self._reader.readexactly(1)
        if first == b"$":  # The client's receiver reports, interleaved: read and ignored.
            size = (await self._reader.readexactly(3))[1:]
            await self._reader.readexactly(int.from_bytes(size, "big"))
            return True
        if first in b"\r\n":
            return True
        try:
            head = first + (await self._reader.readuntil(b"\r\n\r\n"))[:-4]
        except asyncio.LimitOverrunError:
            self._writer.write(reply(413, None))
            return False
        sequence = sequence_of(head)
        try:
            await self._reader.readexactly(content_length(head))
            answer = self._handle(parse_request(head))
        except RtspRefusal as refusal:
            answer = reply(refusal.status, sequence, refusal.headers)
            self._writer.write(answer)
            return refusal.status not in (400, 413)
        self._writer.write(answer)
        return True

    def _handle(self, request: Request) -> bytes:
        handlers: dict[str, Callable[[Request], bytes]] = {
            "OPTIONS": self._options,
            "DESCRIBE": self._describe,
            "SETUP": self._setup,
            "PLAY": self._play,
            "GET_PARAMETER": self._get_parameter,
            "TEARDOWN": self._teardown,
        }
        if request.method != "OPTIONS" and request.path not in (STREAM_PATH, _TRACK_PATH):
            raise RtspRefusal(404)
        if request.session is not None and request.session != self._session:
            raise RtspRefusal(454)
        return handlers[request.method](request)

    def _options(self, request: Request) -> bytes:
        return reply(200, request.sequence, {"Public": ", ".join(METHODS)})

    def _describe(self, request: Request) -> bytes:
        accept = request.headers.get("accept", "application/sdp")
        if "application/sdp" not in accept and "*/*" not in accept:
            raise RtspRefusal(406)
        lines = (
            "v=0",
            f"o=- 1 1 IN IP4 {self._host}",
            "s=Countersight simulated camera",
            "c=IN IP4 0.0.0.0",
            "t=0 0",
            "a=control:*",
            *self._track.sdp(),
            "a=control:trackID=0",
        )
        headers = {
            "Content-Base": request.url.rstrip("/") + "/",
            "Content-Type": "application/sdp",
        }
        return reply(200, request.sequence, headers, "\r\n".join(lines) + "\r\n")

    def _setup(self, request: Request) -> bytes:
        if self.is_playing:
            raise RtspRefusal(455)
        transport = choose_transport(request.headers.get("transport"))
        pair = f"{transport.first}-{transport.second}"
        self._release()
        source = f"ssrc={self._sender.source:08X}"
        if transport.interleaved:
            self._channels = (transport.first, transport.second)
            answer = f"RTP/AVP/TCP;unicast;interleaved={pair};{source}"
        else:
            ports = self._open_sockets(transport.first, transport.second)
            answer = f"RTP/AVP;unicast;client_port={pair};server_port={ports};{source}"
        self._session = self._session or secrets.token_hex(8)
        return reply(200, request.sequence, {"Transport": answer, "Session": self._session_header})

    def _play(self, request: Request) -> bytes:
        self._need_session(request)
        self.is_playing = True
        headers = {"Session": self._session_header, "Range": "npt=now-"}
        return reply(200, request.sequence, headers)

    def _get_parameter(self, request: Request) -> bytes:
        headers = {"Session": self._session_header} if self._session else {}
        return reply(200, request.sequence, headers)

    def _teardown(self, request: Request) -> bytes:
        self._need_session(request)
        self._session = None
        self.is_playing = self._at_key = self._has_begun = False
        self._release()
        return reply(200, request.sequence)

    def _need_session(self, request: Request) -> None:
        if self._session is None:
            raise RtspRefusal(455)
        if request.session is None:
            raise RtspRefusal(454)

    @property
    def _session_header(self) -> str:
        return f"{self._session};timeout={_SESSION_TIMEOUT_SECONDS}"

    def _open_sockets(self, rtp_port: int, rtcp_port: int) -> str:
        """Bind an even and the next odd port, aim them at the client; return "even-odd"."""
        peer = self._writer.get_extra_info("peername")[0]
        for _ in range(50):
            rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
            try:
                rtp.bind((self._host, 0))
                port = rtp.getsockname()[1]
                if port % 2 == 0:
                    rtcp.bind((self._host, port + 1))
                    for each, target in ((rtp, rtp_port), (rtcp, rtcp_port)):
                        each.setblocking(False)
                        each.connect((peer, target))
                    self._sockets = (rtp, rtcp)
                    return f"{port}-{port + 1}"
            except OSError:
                pass  # The odd port is taken: another even one is tried, fifty times at most.
            rtp.close()
            rtcp.close()
        raise RtspRefusal(500)

    def send(self, unit: AccessUnit, payloads: list[bytes]) -> None:
        """Send one picture if this client plays, has begun, and keeps up."""
        if not self.is_playing or self._writer.transport.is_closing():
            return
        buffered = self._writer.transport.get_write_buffer_size()
        if buffered > _MAX_BUFFERED_BYTES:
            self._at_key = False
        if not self._at_key and (not unit.is_key or buffered > _MAX_BUFFERED_BYTES):
            self.dropped += self._has_begun
            return
        self._at_key = self._has_begun = True
        if (
            self._reported_at is None
            or abs(unit.wall_seconds - self._reported_at) >= _REPORT_EVERY_SECONDS
        ):
            self._reported_at = unit.wall_seconds
            self._emit(1, [self._sender.report(unit.rtp_time, unit.wall_seconds)])
        self._emit(0, self._sender.packets(payloads, unit.rtp_time))

    def _emit(self, which: int, packets: list[bytes]) -> None:
        if self._channels is not None:
            channel = self._channels[which]
            framed = (struct.pack(">BBH", 0x24, channel, len(each)) + each for each in packets)
            self._writer.write(b"".join(framed))
        elif self._sockets is not None:
            for packet in packets:
                try:
                    self._sockets[which].send(packet)
                except (BlockingIOError, ConnectionRefusedError):
                    self.dropped += 1  # UDP may lose; the sequence number shows it.

    def abort(self) -> None:
        """Cut the connection with a reset."""
        sock = self._writer.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        self.close()

    def close(self) -> None:
        self.is_playing = False
        self._release()
        self._writer.close()

    def _release(self) -> None:
        self._channels = None
        for each in self._sockets or ():
            each.close()
        self._sockets = None
