"""From one aligned picture, the frames that a camera would have given of that moment.

A calibration of fused frames needs K frames of one attempt. Neither one picture used K times (its
frames would agree too well) nor K pictures of K days (they would differ too much) is that. So a
picture goes K times through the capture chain: aligned a little differently, as the detector's
landmarks wander from frame to frame, a little brighter or darker, noisy, and compressed.

The jitter was measured: 100 photographs, each rendered 8 times at 80 pixels between the eyes with
noise and compression and found again by YuNet. Medians over the photographs of the standard
deviation of the alignment, in pixels of the 112x112 crop: 0.74 across, 0.68 down; roll 1.6
degrees; scale 1.8 %. Pose, expression and light do not change within an attempt made here.
"""

from __future__ import annotations

import hashlib

import numpy as np

from models.opencv import cv2
from models.values import Image

SHIFT_PX = 0.7
ROLL_DEGREES = 1.6
SCALE = 0.018
# Of a whole attempt, and of one frame in it.
ATTEMPT_GAIN, FRAME_GAIN = 0.10, 0.03
NOISE = 3.0
JPEG_QUALITY = (50, 80)

DESCRIBED_AS = (
    f"jitter {SHIFT_PX} px, {ROLL_DEGREES} deg, {SCALE:.1%}; gain {ATTEMPT_GAIN} and {FRAME_GAIN}; "
    f"noise {NOISE}; JPEG {JPEG_QUALITY[0]} to {JPEG_QUALITY[1]}"
)


def attempt_frames(picture: Image, count: int, seed: bytes) -> tuple[Image, ...]:
    """Return `count` frames (BGR uint8, the size of `picture`) of one attempt.

    The same picture and seed give the same frames.
    """
    digest = hashlib.sha256(seed + picture.tobytes()).digest()
    random = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    gain = random.normal(1.0, ATTEMPT_GAIN)
    return tuple(_frame(picture, gain, random) for _ in range(count))


def _frame(picture: Image, gain: float, random: np.random.Generator) -> Image:
    height, width = picture.shape[:2]
    middle = (width / 2, height / 2)
    scale = random.normal(1.0, SCALE)
    turn = cv2.getRotationMatrix2D(middle, random.normal(0.0, ROLL_DEGREES), scale)
    move = np.asarray(turn, dtype=np.float64)
    move[:, 2] += random.normal(0.0, SHIFT_PX, 2)
    moved = cv2.warpAffine(picture, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    lit = moved.astype(np.float64) * gain * random.normal(1.0, FRAME_GAIN)
    noisy = np.clip(lit + random.normal(0.0, NOISE, lit.shape), 0, 255).astype(np.uint8)
    quality = int(random.integers(JPEG_QUALITY[0], JPEG_QUALITY[1] + 1))
    packed = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), dtype=np.uint8)
