"""How the evidence of one attempt is written down, byte by byte.

One version byte, the length of the header (4 bytes, big endian), the header as canonical JSON, then
each image as its length (4 bytes) and a PNG, in the order in which the header names them. Nothing
may follow. Floats are hexadecimal text, so that what is read is exactly what was written. Whatever
is read has bounds: the bytes, the frames, and the size of an image before it is decoded.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from hardware.camera_identity import CameraIdentity
from identity.attempt_evidence import AttemptEvidence
from identity.errors import EvidenceUnreadable
from identity.liveness.challenge import ChallengeRun
from identity.liveness.windows import HEIGHT, WIDTH
from identity.looked import LookedFrame
from identity.policy import LivenessLimits
from models.opencv import cv2
from models.values import FaceDetection, Image, Landmarks
from retention.records.canonical import canonical_bytes, parse_canonical
from retention.records.clock import from_text, to_text
from retention.records.errors import MalformedRecord
from retention.records.fields import Code, Count, Frozen, Moment, Text

VERSION = 1
MOST_BYTES = 32 * 1024 * 1024
MOST_FRAMES = 512
_MOST_HEADER = 1024 * 1024
_LENGTH = struct.Struct(">I")
_PNG_BEGINS = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_IHDR = struct.Struct(">IIBB")

# What an image may be: (height, width), and the channels.
_Slot = Literal["aligned", "window", "anchored", "passive"]
_SHAPES: dict[_Slot, tuple[int, ...]] = {
    "aligned": (112, 112, 3),
    "window": (HEIGHT, WIDTH),
    "anchored": (HEIGHT, WIDTH),
    "passive": (80, 80, 3),
}

Float = Annotated[str, Field(pattern=r"^-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}$")]
"""A finite float as `float.hex` writes it."""


class _Frame(Frozen):
    at: Count
    size: tuple[Annotated[int, Field(ge=1, le=65535)], Annotated[int, Field(ge=1, le=65535)]]
    box: tuple[Float, Float, Float, Float]
    points: Annotated[tuple[Float, ...], Field(min_length=10, max_length=10)]
    score: Float
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    images: Annotated[tuple[_Slot, ...], Field(max_length=8)]


class _Camera(Frozen):
    kind: Literal["rtsp", "v4l2", "film"]
    name: Text
    simulated: bool
    virtual: bool


class _Challenge(Frozen):
    seed: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    asked_at_ns: Annotated[tuple[Count, ...], Field(min_length=1, max_length=4)]
    limits: LivenessLimits


class _Header(Frozen):
    started_at: Moment
    decided_at: Moment
    elapsed_ns: Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1)]
    camera: _Camera
    frames: Annotated[tuple[_Frame, ...], Field(max_length=MOST_FRAMES)]
    used: Annotated[tuple[Count, ...], Field(max_length=12)]
    looked: Count
    notes: Annotated[tuple[tuple[Code, Count], ...], Field(max_length=64)]
    replayed: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")], ...],
        Field(max_length=MOST_FRAMES),
    ]
    challenge: _Challenge | None
    changed: bool
    clock_back: bool
    fault: bool
    amount: Annotated[str, Field(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,8})?$")] | None
    comparisons_before: Count
    standing: Literal["current", "stale"]

    @model_validator(mode="after")
    def _used_frames_are_there(self) -> Self:
        rising = list(self.used) == sorted(set(self.used))
        if not rising or any(index >= len(self.frames) for index in self.used):
            raise ValueError("used: names no frame, or one twice")
        return self


def write(evidence: AttemptEvidence) -> bytes:
    """Return the one encoding of this evidence.

    Raises ValueError on evidence that `read` would not take.
    """
    header = _header(evidence).model_dump(mode="json")
    plain = canonical_bytes(header)
    parts = [bytes([VERSION]), _LENGTH.pack(len(plain)), plain]
    for frame in evidence.frames:
        for slot, image in _images(frame):
            png = _png(slot, image)
            parts += [_LENGTH.pack(len(png)), png]
    encoded = b"".join(parts)
    if len(encoded) > MOST_BYTES or len(plain) > _MOST_HEADER:
        raise ValueError(f"the evidence has {len(encoded)} bytes")
    return encoded


def read(encoded: bytes) -> AttemptEvidence:
    """Read an encoding. Raises EvidenceUnreadable on any other bytes."""
    if not 5 <= len(encoded) <= MOST_BYTES:
        raise EvidenceUnreadable(f"{len(encoded)} bytes")
    if encoded[0] != VERSION:
        raise EvidenceUnreadable(f"its format is {encoded[0]}, known is {VERSION}")
    plain, rest = _piece(memoryview(encoded)[1:], _MOST_HEADER)
    try:
        header = _Header.model_validate(parse_canonical(plain, limit=_MOST_HEADER))
        frames = list[LookedFrame]()
        for described in header.frames:
            frame, rest = _frame(described, rest)
            frames.append(frame)
        if rest:
            raise EvidenceUnreadable("something follows the last image")
        return _evidence(header, tuple(frames))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "header"
        raise EvidenceUnreadable(f"{where}: {first['msg']}") from exc
    except (MalformedRecord, ValueError, OverflowError) as exc:
        raise EvidenceUnreadable(f"its header does not hold: {type(exc).__name__}") from exc


def _header(evidence: AttemptEvidence) -> _Header:
    run, camera = evidence.challenge, evidence.camera
    return _Header(
        started_at=to_text(evidence.started_at),
        decided_at=to_text(evidence.decided_at),
        elapsed_ns=evidence.elapsed_ns,
        camera=_Camera(
            kind=camera.kind,
            name=camera.name,
            simulated=camera.simulated,
            virtual=camera.virtual,
        ),
        frames=tuple(_described(frame) for frame in evidence.frames),
        used=evidence.used,
        looked=evidence.looked,
        notes=evidence.notes,
        replayed=tuple(digest.hex() for digest in evidence.replayed),
        challenge=None
        if run is None
        else _Challenge(seed=run.seed.hex(), asked_at_ns=run.asked_at_ns, limits=run.limits),
        changed=evidence.changed,
        clock_back=evidence.clock_back,
        fault=evidence.fault,
        amount=None if evidence.amount is None else f"{evidence.amount:f}",
        comparisons_before=evidence.comparisons_before,
        standing=evidence.standing,
    )


def _described(frame: LookedFrame) -> _Frame:
    x, y, width, height = (_text(value) for value in frame.face.box)
    return _Frame(
        at=frame.offset_ns,
        size=frame.frame_size,
        box=(x, y, width, height),
        points=tuple(_text(float(value)) for value in frame.face.landmarks.reshape(-1)),
        score=_text(frame.face.score),
        digest=frame.pixels_digest.hex(),
        images=tuple(slot for slot, _ in _images(frame)),
    )


def _evidence(header: _Header, frames: tuple[LookedFrame, ...]) -> AttemptEvidence:
    run, camera = header.challenge, header.camera
    return AttemptEvidence(
        started_at=from_text(header.started_at),
        decided_at=from_text(header.decided_at),
        elapsed_ns=header.elapsed_ns,
        camera=CameraIdentity(camera.kind, camera.name, camera.simulated, camera.virtual),
        frames=frames,
        used=header.used,
        looked=header.looked,
        notes=header.notes,
        replayed=tuple(bytes.fromhex(digest) for digest in header.replayed),
        challenge=None
        if run is None
        else ChallengeRun(bytes.fromhex(run.seed), run.asked_at_ns, run.limits),
        changed=header.changed,
        clock_back=header.clock_back,
        fault=header.fault,
        amount=None if header.amount is None else Decimal(header.amount),
        comparisons_before=header.comparisons_before,
        standing=header.standing,
    )


def _frame(described: _Frame, rest: memoryview) -> tuple[LookedFrame, memoryview]:
    images: dict[_Slot, list[Image]] = {slot: [] for slot in _SHAPES}
    for slot in described.images:
        png, rest = _piece(rest, int(np.prod(_SHAPES[slot])) + 4096)
        images[slot].append(_image(slot, png))
    if any(len(images[slot]) > 1 for slot in _SHAPES if slot != "passive"):
        raise EvidenceUnreadable("a frame has an image twice")
    x, y, width, height = (float.fromhex(value) for value in described.box)
    frame = LookedFrame(
        offset_ns=described.at,
        frame_size=described.size,
        face=FaceDetection(
            (x, y, width, height), _landmarks(described), float.fromhex(described.score)
        ),
        pixels_digest=bytes.fromhex(described.digest),
        aligned=next(iter(images["aligned"]), None),
        window=next(iter(images["window"]), None),
        anchored=next(iter(images["anchored"]), None),
        passive=tuple(images["passive"]),
    )
    return frame, rest


def _landmarks(described: _Frame) -> Landmarks:
    points = np.array([float.fromhex(value) for value in described.points])
    if np.abs(points).max() > np.finfo(np.float32).max:
        raise EvidenceUnreadable("a landmark is too large")
    return points.astype(np.float32).reshape(5, 2)


def _piece(rest: memoryview, most: int) -> tuple[bytes, memoryview]:
    if len(rest) < _LENGTH.size:
        raise EvidenceUnreadable("it is cut short")
    (length,) = _LENGTH.unpack(rest[: _LENGTH.size])
    end = _LENGTH.size + length
    if length > most or len(rest) < end:
        raise EvidenceUnreadable("a part is too long, or it is cut short")
    return bytes(rest[_LENGTH.size : end]), rest[end:]


def _images(frame: LookedFrame) -> list[tuple[_Slot, Image]]:
    named: list[tuple[_Slot, Image | None]] = [
        ("aligned", frame.aligned),
        ("window", frame.window),
        ("anchored", frame.anchored),
        *(("passive", crop) for crop in frame.passive),
    ]
    return [(slot, image) for slot, image in named if image is not None]


def _png(slot: _Slot, image: Image) -> bytes:
    if image.shape != _SHAPES[slot] or image.dtype != np.uint8:
        raise ValueError(f"an image is no {slot}")
    done, png = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError("an image cannot be encoded")
    return png.tobytes()


def _image(slot: _Slot, png: bytes) -> Image:
    shape = _SHAPES[slot]
    begins, ihdr = len(_PNG_BEGINS), _IHDR.size
    if not png.startswith(_PNG_BEGINS) or len(png) < begins + ihdr:
        raise EvidenceUnreadable("an image is no PNG")
    # Size and depth are asked before a decoder makes room for the pixels.
    colour = 2 if len(shape) == 3 else 0
    if _IHDR.unpack(png[begins : begins + ihdr]) != (shape[1], shape[0], 8, colour):
        raise EvidenceUnreadable(f"an image is no {slot}")
    try:
        image = cv2.imdecode(np.frombuffer(png, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as exc:
        raise EvidenceUnreadable("an image cannot be decoded") from exc
    if image is None or image.shape != shape or image.dtype != np.uint8:
        raise EvidenceUnreadable("an image cannot be decoded")
    return np.asarray(image, dtype=np.uint8)


def _text(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("a number of the evidence is not finite")
    return float(value).hex()
