"""Any ordinary picture becomes BGR uint8; anything else is refused before it is decoded."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from identity import images
from identity.errors import ImageRefused
from identity.images import decode_image, load_image
from models.opencv import cv2

WIDE = np.zeros((80, 120, 3), np.uint8)
WIDE[:40, :, 2], WIDE[40:, :, 0] = 250, 250


def encoded(mode: str, form: str, **options: object) -> bytes:
    into = io.BytesIO()
    Pillow.fromarray(WIDE[:, :, ::-1]).convert(mode).save(into, form, **options)
    return into.getvalue()


@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGB", "JPEG"), ("RGB", "PNG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG")],
)
def test_colours_survive_every_mode(mode: str, form: str) -> None:
    picture = decode_image(encoded(mode, form))
    assert picture.shape == WIDE.shape
    assert picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - WIDE).mean() < 30


def test_greyscale_and_sixteen_bits_become_eight_bit_colour() -> None:
    assert decode_image(encoded("L", "JPEG")).shape == WIDE.shape
    deep = np.full((80, 90, 3), 51400, np.uint16)
    content = cv2.imencode(".png", deep)[1].tobytes()
    assert decode_image(content).tolist() == np.full((80, 90, 3), 200).tolist()


def test_the_orientation_of_a_telephone_is_applied() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    assert decode_image(encoded("RGB", "JPEG", exif=exif)).shape == (120, 80, 3)


def test_a_small_file_that_describes_a_huge_picture_is_refused() -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )
    with pytest.raises(ImageRefused, match="60000x60000; at most 40 megapixels"):
        decode_image(png)


def test_size_limits_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="at least 64 pixels"):
        decode_image(cv2.imencode(".png", np.zeros((63, 100, 3), np.uint8))[1].tobytes())
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    (tmp_path / "a.jpg").write_bytes(encoded("RGB", "JPEG"))
    with pytest.raises(ImageRefused, match=r"a\.jpg: more than"):
        load_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"hello"]
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ImageRefused, match=r"neither JPEG nor PNG|damaged"):
        decode_image(content, "x")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match=r"no\.png: No such file"):
        load_image(tmp_path / "no.png")


@given(st.binary(max_size=200), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_no_bytes_do_anything_but_decode_or_be_refused(tail: bytes, head: bytes) -> None:
    with pytest.raises(ImageRefused):
        decode_image(head + tail)


@given(st.integers(20, 600))
def test_a_cut_file_is_decoded_or_refused(length: int) -> None:
    try:
        shape = decode_image(encoded("RGB", "PNG")[:length]).shape
    except ImageRefused:
        return
    assert shape == WIDE.shape
