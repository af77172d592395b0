"""A simulated camera that can be answered: rendered, through H.264 at 0.5 Mb/s, and back.

Portraits come from the demo's photographs, or from a folder of photographs whose faces are found
by the detector. Frames are given one by one, so that an actor can hear what is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from hardware.simulated_people import Picture, Portraits
from hardware.simulated_scene import Actor, Scene
from models.opencv import cv2
from models.values import Detector, FaceDetection, Image

# Eight pictures a second, all of which are looked at: an attempt looks every 120 ms.
RATE = 8
WIDTH, HEIGHT = 640, 480


class FolderPortraits:
    """Photographs FOLDER/PERSON/*; the largest face of each counts."""

    def __init__(self, folder: Path, detector: Detector) -> None:
        self._detector = detector
        self.people = tuple(sorted(each.name for each in folder.iterdir() if each.is_dir()))
        self._paths = {person: sorted((folder / person).iterdir()) for person in self.people}
        self._rows: dict[tuple[str, int], Picture] = {}

    def pixels(self, person: str, number: int = 1) -> Image:
        """Return a photograph, enlarged to twice its size: these are small."""
        if person not in self._paths or not 1 <= number <= len(self._paths[person]):
            raise LookupError(f"no picture {person}/{number}")
        image = cv2.imread(str(self._paths[person][number - 1]), cv2.IMREAD_COLOR)
        if image is None:
            raise LookupError(f"{person}/{number} is unreadable")
        bigger = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        return np.asarray(bigger, dtype=np.uint8)

    def picture(self, person: str, number: int = 1) -> Picture:
        """Return where the face is. Raises LookupError when none is found."""
        key = person, number
        if key not in self._rows:
            found = self._detector.detect(self.pixels(person, number))
            if not found:
                raise LookupError(f"no face in {person}/{number}")
            self._rows[key] = _row(person, number, found[0])
        return self._rows[key]


def _row(person: str, number: int, face: FaceDetection) -> Picture:
    points = [(float(x), float(y)) for x, y in face.landmarks]
    eyes_y = (points[0][1] + points[1][1]) / 2
    return Picture(
        person=person,
        number=number,
        member="",
        sha256="",
        bytes=0,
        face_box=face.box,
        landmarks=(points[0], points[1], points[2], points[3], points[4]),
        crown_y=eyes_y - 1.6 * face.inter_eye_px,
    )


class Coder:
    """Passes frames through libx264 and back, one in, one out."""

    def __init__(self, bits_per_second: int = 530_000) -> None:
        coder = av.CodecContext.create("libx264", "w")
        assert isinstance(coder, av.VideoCodecContext)
        coder.width, coder.height, coder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        coder.time_base, coder.framerate = Fraction(1, RATE), Fraction(RATE)
        coder.bit_rate, coder.gop_size = bits_per_second, RATE
        coder.options = {"preset": "ultrafast", "tune": "zerolatency"}
        decoder = av.CodecContext.create("h264", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.thread_count = 1
        self._coder, self._decoder, self._count = coder, decoder, 0

    def passed(self, image: Image) -> Image:
        """Return an image as it comes out at the other end."""
        frame = av.VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, self._count = self._count, self._count + 1
        out: list[av.VideoFrame] = []
        for packet in self._coder.encode(frame):
            out += self._decoder.decode(packet)
        assert len(out) == 1, "the coder keeps frames back"
        return np.asarray(out[0].to_ndarray(format="bgr24"), dtype=np.uint8)


class Filmed:
    """A view and its camera. `next` gives the frame of the next eighth of a second."""

    def __init__(self, people: Portraits, cast: Sequence[Actor], seed: int) -> None:
        self._scene = Scene(WIDTH, HEIGHT, people=people, seed=seed, label="purchase")
        self._scene.show(cast)
        self._coder, self._ordinal = Coder(), 0

    @property
    def seconds(self) -> float:
        """Return the time of the next frame."""
        return self._ordinal / RATE

    def show(self, cast: Sequence[Actor]) -> None:
        """Change who is in view, or what they do."""
        self._scene.show(cast)

    def next(self) -> Image:
        frame = self._scene.frame(self.seconds)
        self._ordinal += 1
        return self._coder.passed(frame)
