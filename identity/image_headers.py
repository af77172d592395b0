"""What the headers of a JPEG or PNG file say, read before anything is decoded.

A decoder is lenient: it fills what is missing with grey and shows the first of several pictures.
For a comparison that is wrong, so a file must be whole, hold one picture, and say what its colours
are. Everything here walks bytes with bounds; the worst a file can do is to be refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# What people do try, named so that the answer is clear.
_OTHERS = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
)
# Start-of-frame markers: they alone carry the size. C4, C8 and CC are other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline, extended and progressive Huffman coding; the others are read by nearly nothing.
_READABLE_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_SCAN, _END, _APP2, _APP14 = 0xDA, 0xD9, 0xE2, 0xEE
# Each scan of a progressive file is decoded over the whole picture; real ones have about ten.
_MOST_SCANS = 100


@dataclass(frozen=True, slots=True)
class Header:
    """Width and height in pixels as stored, before any turning."""

    width: int
    height: int


class Unusable(Exception):
    """Why a file cannot be used; the message says what it is."""


def read_header(content: bytes, allow: Callable[[Header], None]) -> Header:
    """Return the size of a whole JPEG or PNG with one picture. Raises Unusable.

    `allow` is called as soon as the size is known and may raise: a file that describes a huge
    picture is refused as just that, before anything else is looked at.
    """
    if not content:
        raise Unusable("it is empty")
    try:
        if content.startswith(_PNG):
            return _png(content, allow)
        if content.startswith(_JPEG):
            return _jpeg(content, allow)
    except (struct.error, IndexError) as exc:
        raise Unusable("it is damaged or cut off") from exc
    name = _other(content)
    raise Unusable("neither JPEG nor PNG" if name is None else f"{name}; neither JPEG nor PNG")


def _other(content: bytes) -> str | None:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[4:8] == b"ftyp":
        return "HEIC, AVIF or a film"
    return next((name for magic, name in _OTHERS if content.startswith(magic)), None)


def _png(content: bytes, allow: Callable[[Header], None]) -> Header:
    """Walk the chunks: each with its checksum, no animation, to the end."""
    header = None
    place = len(_PNG)
    while True:
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        ends = place + 8 + length
        if header is None and kind == b"IHDR":
            header = Header(*struct.unpack(">II", content[place + 8 : place + 16]))
            allow(header)
        (checksum,) = struct.unpack(">I", content[ends : ends + 4])
        if checksum != zlib.crc32(content[place + 4 : ends]):
            raise Unusable("it is damaged")
        if header is None:
            raise Unusable("it is damaged")
        if kind == b"acTL":
            raise Unusable("it is animated")
        if kind == b"IEND":
            return header
        place = ends + 4


def _jpeg(content: bytes, allow: Callable[[Header], None]) -> Header:
    """Walk the segments and scans to the end of the picture."""
    header: Header | None = None
    components = scans = 0
    adobe = False
    place = 2
    while True:
        marker, place = _marker(content, place)
        if marker == _END:
            break
        if marker in _ALONE:
            continue
        length = struct.unpack(">H", content[place : place + 2])[0]
        body = content[place + 2 : place + length]
        if length < 2 or len(body) != length - 2:
            raise Unusable("it is damaged or cut off")
        place += length
        if marker in _FRAMES:
            if header is not None:
                raise Unusable("it holds several pictures")
            header, components = _frame(marker, body)
            allow(header)
        elif marker == _APP14:
            adobe = adobe or body.startswith(b"Adobe")
        elif marker == _APP2 and body.startswith(b"MPF\0"):
            raise Unusable("it holds several pictures (MPO)")
        elif marker == _START_OF_SCAN:
            scans += 1
            if scans > _MOST_SCANS:
                raise Unusable(f"more than {_MOST_SCANS} scans")
            place = _after_scan(content, place)
    if header is None or not scans:
        raise Unusable("it is damaged")
    if components == 4 and not adobe:
        # Without the marker nobody knows whether 0 means no ink or full ink.
        raise Unusable("CMYK without Adobe's marker, so its colours are not defined")
    return header


def _marker(content: bytes, place: int) -> tuple[int, int]:
    """Return the marker at a place, and the place after it; fill bytes are passed over."""
    if content[place] != 0xFF:
        raise Unusable("it is damaged")
    while content[place] == 0xFF:
        place += 1
    return content[place], place + 1


def _frame(marker: int, body: bytes) -> tuple[Header, int]:
    depth, height, width, components = struct.unpack(">BHHB", body[:6])
    if marker not in _READABLE_FRAMES:
        raise Unusable("a coding of JPEG that is not read (lossless or arithmetic)")
    if depth != 8:
        raise Unusable(f"{depth} bits a channel; JPEG is read with 8")
    if components not in (1, 3, 4):
        raise Unusable(f"{components} colour channels")
    return Header(width, height), components


def _after_scan(content: bytes, place: int) -> int:
    """Return where the next marker after the coded data begins. Raises Unusable at the end."""
    while True:
        place = content.find(b"\xff", place)
        if place < 0 or place + 1 >= len(content):
            raise Unusable("it is cut off")
        following = content[place + 1]
        if following != 0 and following not in _ALONE and following != 0xFF:
            return place
        place += 1 if following == 0xFF else 2
