"""Reading a picture file into BGR uint8, safely.

Only whole JPEG and PNG files with one picture are read, whatever they are called. Size and
dimensions are checked before anything is decoded: a small file can describe a huge picture.
Orientation from EXIF is applied; greyscale, CMYK and 16-bit pictures become three channels of
eight bits; transparency is left out of account.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from identity.errors import ImageRefused
from identity.image_headers import Header, Unusable, read_header
from models.opencv import cv2
from models.values import Image

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
MIN_SIDE = 64


def load_image(path: Path) -> Image:
    """Read a picture file. Raises ImageRefused with the reason."""
    try:
        if not path.is_file() and path.exists():
            # A pipe or a device would never end.
            raise ImageRefused(str(path), "it is no file")
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ImageRefused(str(path), exc.strerror or "it cannot be read") from exc
    return decode_image(content, str(path))


def decode_image(content: bytes, source: str = "(bytes)") -> Image:
    """Decode the bytes of a JPEG or PNG file. Raises ImageRefused with the reason."""
    if len(content) > MAX_BYTES:
        raise ImageRefused(source, f"more than {MAX_BYTES // 2**20} MiB")
    try:
        header = read_header(content, _allow)
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    except Unusable as exc:
        raise ImageRefused(source, str(exc)) from exc
    except cv2.error as exc:
        raise ImageRefused(source, "it is damaged") from exc
    if picture is None or picture.shape[:2] not in _sizes(header):
        raise ImageRefused(source, "it is damaged")
    return np.asarray(picture, dtype=np.uint8)


def _allow(header: Header) -> None:
    width, height = header.width, header.height
    if width * height > MAX_PIXELS:
        raise Unusable(f"{width}x{height}; at most {MAX_PIXELS // 10**6} megapixels")
    if min(width, height) < MIN_SIDE:
        raise Unusable(f"{width}x{height}; at least {MIN_SIDE} pixels a side")


def _sizes(header: Header) -> set[tuple[int, int]]:
    """Return the shapes that the picture may have: as stored, or turned by its orientation."""
    return {(header.height, header.width), (header.width, header.height)}
