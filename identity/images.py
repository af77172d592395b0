"""Reading a picture file into BGR uint8, safely.

Size and dimensions are checked before anything is decoded: a small file can describe a huge
picture. Only JPEG and PNG are read. Orientation from EXIF is applied; greyscale, CMYK, alpha and
16-bit pictures become three channels of eight bits.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from identity.errors import ImageRefused
from models.opencv import cv2
from models.values import Image

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE = 64
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Start-of-frame markers: they alone carry the size. C4, C8 and CC are other things.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def load_image(path: Path) -> Image:
    """Read a picture file. Raises ImageRefused with the reason."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ImageRefused(str(path), exc.strerror or "it cannot be read") from exc
    return decode_image(content, str(path))


def decode_image(content: bytes, source: str = "(bytes)") -> Image:
    """Decode the bytes of a JPEG or PNG file. Raises ImageRefused with the reason."""
    if len(content) > MAX_BYTES:
        raise ImageRefused(source, f"more than {MAX_BYTES // 2**20} MiB")
    width, height = _dimensions(content, source)
    if width * height > MAX_PIXELS:
        raise ImageRefused(source, f"{width}x{height}; at most {MAX_PIXELS // 10**6} megapixels")
    if min(width, height) < MIN_SIDE:
        raise ImageRefused(source, f"{width}x{height}; at least {MIN_SIDE} pixels a side")
    try:
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as exc:
        raise ImageRefused(source, "it is damaged") from exc
    if picture is None:
        raise ImageRefused(source, "it is damaged")
    return np.asarray(picture, dtype=np.uint8)


def _dimensions(content: bytes, source: str) -> tuple[int, int]:
    try:
        if content.startswith(_PNG):
            width, height = struct.unpack(">II", content[16:24])
            return width, height
        if content.startswith(_JPEG):
            return _jpeg_dimensions(content)
    except (struct.error, IndexError) as exc:
        raise ImageRefused(source, "it is damaged") from exc
    raise ImageRefused(source, "neither JPEG nor PNG")


def _jpeg_dimensions(content: bytes) -> tuple[int, int]:
    """Walk the JPEG segments to the frame header. Raises IndexError or struct.error."""
    place = 2
    while True:
        if content[place] != 0xFF:
            raise IndexError("not a marker")
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return width, height
        place += 2 + struct.unpack(">H", content[place + 2 : place + 4])[0]
