"""Any ordinary picture becomes BGR uint8; anything else is refused before it is decoded."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

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


CORNERS = np.full((80, 120, 3), 128, np.uint8)
CORNERS[:40, :60], CORNERS[:40, 60:] = (0, 0, 250), (0, 250, 0)
CORNERS[40:, :60], CORNERS[40:, 60:] = (250, 0, 0), (250, 250, 250)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_of_a_telephone_is_applied(orientation: int, form: str) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    turned = Pillow.fromarray(CORNERS[:, :, ::-1])
    into = io.BytesIO()
    turned.save(into, form, exif=exif)
    expected = ImageOps.exif_transpose(Pillow.open(io.BytesIO(into.getvalue())))
    shown = decode_image(into.getvalue())[:, :, ::-1]
    assert shown.shape == (np.asarray(expected).shape)
    assert np.abs(shown.astype(int) - np.asarray(expected)).mean() < 12


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
    with pytest.raises(ImageRefused, match=r"neither JPEG nor PNG|damaged|empty|cut off"):
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


def pillow_file(form: str, **options: object) -> bytes:
    into = io.BytesIO()
    Pillow.fromarray(NOISE).save(into, form, **options)
    return into.getvalue()


NOISE = np.random.default_rng(3).integers(0, 256, (96, 80, 3)).astype(np.uint8)
FRAMES = [Pillow.fromarray(255 - NOISE)]
OTHERS: dict[str, tuple[bytes, str]] = {
    "gif": (pillow_file("GIF"), "GIF; neither"),
    "animated gif": (pillow_file("GIF", save_all=True, append_images=FRAMES), "GIF; neither"),
    "webp": (pillow_file("WEBP"), "WebP; neither"),
    "animated webp": (pillow_file("WEBP", save_all=True, append_images=FRAMES), "WebP; neither"),
    "tiff": (pillow_file("TIFF"), "TIFF; neither"),
    "bmp": (pillow_file("BMP"), "BMP; neither"),
    "film": (b"\0\0\0\x20ftypheic" + bytes(40), "HEIC, AVIF or a film; neither"),
    "animated png": (pillow_file("PNG", save_all=True, append_images=FRAMES), "it is animated"),
    "mpo": (pillow_file("MPO", save_all=True, append_images=FRAMES), r"several pictures \(MPO\)"),
    "empty": (b"", "it is empty"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_and_moving_pictures_are_refused_by_their_name(kind: str) -> None:
    content, answer = OTHERS[kind]
    with pytest.raises(ImageRefused, match=answer):
        decode_image(content, "x")


def test_the_name_of_a_file_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(pillow_file("JPEG", quality=95))
    (tmp_path / "b.jpg").write_bytes(pillow_file("PNG"))
    assert load_image(tmp_path / "a.png").shape == NOISE.shape
    assert load_image(tmp_path / "b.jpg").tolist() == NOISE[:, :, ::-1].tolist()


def test_progressive_and_plain_coding_give_the_same_picture() -> None:
    plain = decode_image(pillow_file("JPEG", quality=90))
    progressive = decode_image(pillow_file("JPEG", quality=90, progressive=True))
    assert plain.tolist() == progressive.tolist()


def test_transparency_is_left_out_of_account() -> None:
    content = cv2.imencode(".png", np.dstack([NOISE, np.zeros(NOISE.shape[:2], np.uint8)]))[1]
    assert decode_image(content.tobytes()).tolist() == NOISE.tolist()


def test_sixteen_bit_greyscale_keeps_its_upper_half() -> None:
    deep = np.linspace(0, 65535, 70 * 70).reshape(70, 70).astype(np.uint16)
    shown = decode_image(cv2.imencode(".png", deep)[1].tobytes())
    assert np.abs(shown[:, :, 1].astype(int) - (deep >> 8)).max() <= 1


def test_ink_without_a_statement_of_its_meaning_is_refused() -> None:
    content = bytearray(encoded("CMYK", "JPEG"))
    at = content.index(b"Adobe")
    content[at : at + 5] = b"adobe"
    with pytest.raises(ImageRefused, match="CMYK without Adobe's marker"):
        decode_image(bytes(content))


def jpeg_with(marker: int, change: bytes, at: int) -> bytes:
    """Return a JPEG whose segment of that marker has other bytes from a place in its body on."""
    content = bytearray(encoded("RGB", "JPEG"))
    place = content.index(bytes([0xFF, marker])) + 4 + at
    content[place : place + len(change)] = change
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (jpeg_with(0xC0, b"\x0c", 0), "12 bits a channel"),
        (jpeg_with(0xC0, b"\x02", 5), "2 colour channels"),
        (jpeg_with(0xC0, b"\0\0", 1), "120x0; at least 64"),
        (
            encoded("RGB", "JPEG").replace(b"\xff\xc0", b"\xff\xc9"),
            "coding of JPEG that is not read",
        ),
        (encoded("RGB", "JPEG") + b"whatever follows", ""),
    ],
)
def test_headers_of_a_jpeg_are_believed_only_where_they_can_be_read(
    content: bytes, answer: str
) -> None:
    if not answer:
        assert decode_image(content).shape == WIDE.shape
        return
    with pytest.raises(ImageRefused, match=answer):
        decode_image(content)


def test_a_second_frame_and_endless_scans_are_refused() -> None:
    content = encoded("RGB", "JPEG")
    frame = content.index(b"\xff\xc0")
    length = struct.unpack(">H", content[frame + 2 : frame + 4])[0]
    twice = (
        content[:frame] + 2 * content[frame : frame + 2 + length] + content[frame + 2 + length :]
    )
    with pytest.raises(ImageRefused, match="several pictures"):
        decode_image(twice)
    scan = content.index(b"\xff\xda")
    with pytest.raises(ImageRefused, match="more than 100 scans"):
        decode_image(content[:scan] + 101 * content[scan:-2] + content[-2:])


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@given(share=st.floats(0, 0.999))
def test_a_picture_that_is_cut_off_is_never_filled_with_grey(form: str, share: float) -> None:
    content = pillow_file(form)
    with pytest.raises(ImageRefused):
        decode_image(content[: int(share * len(content))])


FILES = {
    "jpeg": pillow_file("JPEG"),
    "progressive": pillow_file("JPEG", progressive=True),
    "png": pillow_file("PNG"),
    "cmyk": encoded("CMYK", "JPEG"),
}


@settings(max_examples=150)
@given(
    kind=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_changed_bytes_are_decoded_at_the_size_that_was_checked_or_refused(
    kind: str, changes: list[tuple[float, int]]
) -> None:
    content = bytearray(FILES[kind])
    for place, value in changes:
        content[int(place * len(content))] = value
    try:
        picture = decode_image(bytes(content))
    except ImageRefused:
        return
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[0] * picture.shape[1] <= images.MAX_PIXELS
    if kind == "png":
        # Every byte of a PNG is under a checksum: what is decoded is what was written.
        assert picture.tolist() == NOISE[:, :, ::-1].tolist()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageRefused, match="no file"):
        load_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageRefused, match="no file"):
        load_image(tmp_path / "pipe.jpg")
