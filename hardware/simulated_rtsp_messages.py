"""RTSP 1.0 requests and replies (RFC 2326) as values. No sockets here.

A request that cannot be understood becomes an ``RtspRefusal`` with the status to answer;
nothing a client sends may end the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MAX_HEAD_BYTES = 8_192
MAX_BODY_BYTES = 4_096
METHODS = ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "GET_PARAMETER", "TEARDOWN")
_KNOWN_ELSEWHERE = frozenset({"ANNOUNCE", "PAUSE", "RECORD", "REDIRECT", "SET_PARAMETER"})

REASONS: Mapping[int, str] = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    413: "Request Entity Too Large",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    500: "Internal Server Error",
    501: "Not Implemented",
    505: "RTSP Version Not Supported",
    551: "Option not supported",
}


class RtspRefusal(Exception):
    """A request that is answered with an error status."""

    def __init__(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {REASONS[status]}")
        self.status, self.headers = status, dict(headers or {})


@dataclass(frozen=True, slots=True)
class Request:
    """One understood request; header names are lower case."""

    method: str
    path: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def sequence(self) -> str | None:
        return self.headers.get("cseq")

    @property
    def session(self) -> str | None:
        value = self.headers.get("session")
        return value.partition(";")[0].strip() if value else None


@dataclass(frozen=True, slots=True)
class Transport:
    """What a client asks to be sent over: two channels of this connection, or two UDP ports."""

    interleaved: bool
    first: int
    second: int


def content_length(head: bytes) -> int:
    """Return the body's length announced by a raw head; raises ``RtspRefusal``."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            text = value.strip()
            if not text.isdigit():
                raise RtspRefusal(400)
            if len(text) > 6 or int(text) > MAX_BODY_BYTES:
                raise RtspRefusal(413)
            return int(text)
    return 0


def sequence_of(head: bytes) -> str | None:
    """Return the CSeq of even a refused head, so that the refusal can be matched."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"cseq" and value.strip().isdigit():
            return value.strip()[:10].decode("ascii")
    return None


def parse_request(head: bytes) -> Request:
    """Read a request's head (without its blank line); raises ``RtspRefusal``."""
    try:
        lines = head.decode("ascii").split("\r\n")
        method, url, version = lines[0].split(" ")
    except (UnicodeDecodeError, ValueError) as exc:
        raise RtspRefusal(400) from exc
    if not version.startswith("RTSP/"):
        raise RtspRefusal(400)
    if version != "RTSP/1.0":
        raise RtspRefusal(505)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise RtspRefusal(400)
        headers[name.strip().lower()] = value.strip()
    if "cseq" not in headers or not headers["cseq"].isdigit():
        raise RtspRefusal(400)
    if method not in METHODS:
        allow = {"Allow": ", ".join(METHODS)}
        raise RtspRefusal(405, allow) if method in _KNOWN_ELSEWHERE else RtspRefusal(501, allow)
    if "require" in headers:
        raise RtspRefusal(551, {"Unsupported": headers["require"]})
    try:
        path = urlsplit(url).path.rstrip("/") or "/"
    except ValueError as exc:
        raise RtspRefusal(400) from exc
    return Request(method, path, url, headers)


def choose_transport(header: str | None) -> Transport:
    """Return the first offer that can be served; raises ``RtspRefusal`` 461."""
    for offer in (header or "").split(","):
        name, *parameters = [part.strip() for part in offer.split(";")]
        values = {key.lower(): value for key, _, value in (p.partition("=") for p in parameters)}
        if "multicast" in values:
            continue
        if name.upper() == "RTP/AVP/TCP":
            pair = _pair(values.get("interleaved", "0-1"), 255)
            if pair:
                return Transport(True, *pair)
        elif name.upper() in ("RTP/AVP", "RTP/AVP/UDP"):
            pair = _pair(values.get("client_port", ""), 65_535)
            if pair and pair[0] >= 1_024:
                return Transport(False, *pair)
    raise RtspRefusal(461)


def _pair(text: str, highest: int) -> tuple[int, int] | None:
    first, _, second = text.partition("-")
    if not (first.isdigit() and len(first) <= 5 and (not second or second.isdigit())):
        return None
    low, high = int(first), int(second[:6]) if second else int(first) + 1
    return (low, high) if low < high <= highest else None


def reply(
    status: int, sequence: str | None, headers: Mapping[str, str] | None = None, body: str = ""
) -> bytes:
    """Return the bytes of one reply."""
    lines = [f"RTSP/1.0 {status} {REASONS[status]}"]
    if sequence is not None:
        lines.append(f"CSeq: {sequence}")
    lines.append("Server: countersight-simulated-camera")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
