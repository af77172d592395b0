"""What is written of an attempt is read back exactly, and nothing else is ever read."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.attempt_evidence import AttemptEvidence, with_images_of
from identity.errors import EvidenceUnreadable
from identity.evidence import decode, encode, probe_digest
from identity.liveness.challenge import ChallengeRun
from identity.looked import LookedFrame
from identity.policy import load_policy
from models.opencv import cv2
from models.values import FaceDetection, Image
from retention.records.canonical import canonical_bytes, parse_canonical
from tests.identity.support import CAMERA, SEED

LIMITS = load_policy().liveness


def picture(seed: int, *shape: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def looked(seed: int) -> LookedFrame:
    random = np.random.default_rng(seed)
    points = random.normal(100, 30, (5, 2)).astype(np.float32)
    x, y, width, height = (float(value) for value in random.normal(0, 1e3, 4))
    return LookedFrame(
        offset_ns=(seed + 1) * 120_000_001,
        frame_size=(640, 480),
        face=FaceDetection((x, y, width, height), points, float(random.random())),
        pixels_digest=random.bytes(16),
        aligned=picture(seed, 112, 112, 3),
        window=picture(seed, 208, 176),
        anchored=picture(seed + 1, 208, 176),
        passive=(picture(seed, 80, 80, 3), picture(seed + 1, 80, 80, 3)),
    )


def evidence(frames: int = 3, **changes: object) -> AttemptEvidence:
    looks = tuple(looked(seed) for seed in range(frames))
    made = AttemptEvidence(
        started_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        decided_at=datetime(2026, 1, 2, 3, 4, 7, 1, tzinfo=UTC),
        elapsed_ns=1_999_999_999,
        camera=CAMERA,
        frames=with_images_of(looks, range(frames), range(frames)),
        used=tuple(range(frames)),
        looked=7,
        notes=(("NO_FACE", 2), ("POSE", 1)),
        replayed=(b"\x07" * 16,),
        challenge=ChallengeRun(SEED, (1_500_000_000,), LIMITS),
        changed=False,
        clock_back=False,
        fault=False,
        amount=Decimal("12.30"),
        comparisons_before=1,
        standing="stale",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def same(one: LookedFrame, other: LookedFrame) -> bool:
    images = (
        (one.aligned, other.aligned),
        (one.window, other.window),
        (one.anchored, other.anchored),
        *zip(one.passive, other.passive, strict=True),
    )
    return (
        (one.offset_ns, one.frame_size, one.face.box, one.face.score, one.pixels_digest)
        == (other.offset_ns, other.frame_size, other.face.box, other.face.score,
            other.pixels_digest)
        and np.array_equal(one.face.landmarks, other.face.landmarks)
        and all((a is None) == (b is None) for a, b in images)
        and all(np.array_equal(a, b) for a, b in images if a is not None and b is not None)
    )  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(
    frames=st.integers(0, 4),
    amount=st.none() | st.decimals(0, 99999999, places=2),
    elapsed=st.integers(-(10**12), 10**12),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_what_was_written_is_read_back(
    frames: int, amount: Decimal | None, elapsed: int, flags: tuple[bool, bool, bool, bool]
) -> None:
    kept = evidence(frames, amount=amount, elapsed_ns=elapsed)
    kept = replace(kept, changed=flags[0], clock_back=flags[1], fault=flags[2])
    if flags[3]:
        kept = replace(kept, challenge=None)
    encoded = encode(kept)
    again = decode(encoded)
    assert encode(again) == encoded
    for name in ("started_at", "decided_at", "elapsed_ns", "camera", "used", "looked", "notes",
                 "replayed", "challenge", "changed", "clock_back", "fault", "amount",
                 "comparisons_before", "standing"):  # fmt: skip
        assert getattr(again, name) == getattr(kept, name), name
    assert len(again.frames) == len(kept.frames)
    assert all(same(a, b) for a, b in zip(again.frames, kept.frames, strict=True))


def test_images_that_nothing_rests_on_are_not_kept() -> None:
    frames = with_images_of([looked(n) for n in range(4)], kept=(0, 2), used=(2, 3))
    windows = [frame.window is not None for frame in frames]
    aligned = [frame.aligned is not None for frame in frames]
    passive = [bool(frame.passive) for frame in frames]
    assert windows == [True, False, True, False]
    assert aligned == [True, False, True, True]
    assert passive == [False, False, True, True]


def test_a_digest_names_these_bytes() -> None:
    encoded = encode(evidence())
    assert probe_digest(encoded) == probe_digest(encode(evidence()))
    assert probe_digest(encoded) != probe_digest(encode(evidence(looked=8)))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_refused_or_read_as_something_that_writes_the_same(
    data: st.DataObject,
) -> None:
    encoded = bytearray(ENCODED)
    match data.draw(st.sampled_from(["cut", "flip", "more", "swap"])):
        case "cut":
            del encoded[data.draw(st.integers(0, len(encoded) - 1)) :]
        case "more":
            encoded += data.draw(st.binary(min_size=1, max_size=9))
        case "flip":
            at = data.draw(st.integers(0, len(encoded) - 1))
            encoded[at] ^= data.draw(st.integers(1, 255))
        case _:
            at = data.draw(st.integers(0, len(encoded) - 64))
            encoded[at : at + 32] = encoded[at + 32 : at + 64]
    try:
        again = decode(bytes(encoded))
    except EvidenceUnreadable:
        return
    assert decode(encode(again)).used == again.used


@settings(max_examples=60, deadline=None)
@given(garbage=st.binary(max_size=300))
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(EvidenceUnreadable):
        decode(garbage)


def with_png(slot: bytes, png: bytes) -> bytes:
    """Return an encoding of one frame whose only image is this."""
    frame = replace(looked(0), window=None, anchored=None, passive=())
    plain = encode(_one(frame))
    (length,) = struct.unpack(">I", plain[1:5])
    header = plain[5 : 5 + length].replace(b'"images":["aligned"]', b'"images":["' + slot + b'"]')
    return plain[:1] + struct.pack(">I", len(header)) + header + struct.pack(">I", len(png)) + png


def _one(frame: LookedFrame) -> AttemptEvidence:
    return replace(evidence(0), frames=(frame,), used=(0,))


def png_of(image: Image) -> bytes:
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def test_the_pictures_of_this_test_are_read_when_they_are_right() -> None:
    assert decode(with_png(b"aligned", png_of(picture(0, 112, 112, 3)))).frames


@pytest.mark.parametrize(
    "png",
    [
        png_of(picture(0, 8000, 1, 3)),
        png_of(picture(0, 112, 112)),
        png_of(picture(0, 112, 112, 4)),
        png_of(picture(0, 112, 112, 3).astype(np.uint16)),
        png_of(picture(0, 112, 112, 3))[:-500],
        b"\xff\xd8\xff\xe0" + bytes(64),
        b"",
    ],
    ids=["huge", "grey", "four channels", "16 bits", "cut short", "no PNG", "empty"],
)
def test_a_picture_of_another_kind_is_refused(png: bytes) -> None:
    with pytest.raises(EvidenceUnreadable):
        decode(with_png(b"aligned", png))


def test_an_unknown_image_or_version_is_refused() -> None:
    with pytest.raises(EvidenceUnreadable):
        decode(with_png(b"thumbnail", png_of(picture(0, 112, 112, 3))))
    with pytest.raises(EvidenceUnreadable, match="format is 2"):
        decode(b"\x02" + ENCODED[1:])


@pytest.mark.parametrize(
    "broken",
    [
        {"used": (2, 1)},
        {"used": (0, 9)},
        {"elapsed_ns": 2**60},
        {"amount": Decimal("NaN")},
        {"standing": "fresh"},
    ],
)
def test_what_could_not_be_read_is_not_written(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(evidence(**broken))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_not_written(value: float) -> None:
    frame = looked(0)
    wrong = replace(frame, face=replace(frame.face, score=value))
    with pytest.raises(ValueError, match="not finite"):
        encode(_one(wrong))


@pytest.mark.parametrize("points", [[1e39] * 10, [-1e308] + [0.0] * 9])
def test_landmarks_beyond_their_numbers_are_refused(points: list[float]) -> None:
    """They would be read as infinite, which was never written."""
    plain = encode(_one(replace(looked(0), aligned=None, window=None, anchored=None, passive=())))
    header = parse_canonical(plain[5:], limit=10**6)
    assert isinstance(header, dict)
    header["frames"][0]["points"] = [value.hex() for value in points]  # type: ignore[index, call-overload]
    changed = canonical_bytes(header)
    with pytest.raises(EvidenceUnreadable, match="landmark"):
        decode(plain[:1] + struct.pack(">I", len(changed)) + changed)


ENCODED = encode(evidence(2))
