"""onnxruntime sessions as this product runs them, and the one check of what comes out.

Threads are always explicit and never spin, because recorders share the machine. A session may be
used by several threads at once. An answer that is not finite is an error here, so that nothing
above has to compare a NaN.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.errors import InferenceFailed, ModelUnreadable
from models.values import Image

Floats = npt.NDArray[np.float32]

PROVIDERS = ["CPUExecutionProvider"]


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return the options of every session: `threads` threads that sleep when idle."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Warnings of the runtime about graph optimisation belong in no log of ours.
    options.log_severity_level = 3
    return options


class Network:
    """A model with one input and one output, run on float batches of one."""

    def __init__(self, name: str, path: Path, threads: int) -> None:
        self._name = name
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), session_options(threads), providers=PROVIDERS
            )
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise ModelUnreadable(path, type(exc).__name__) from exc
        if len(self._session.get_inputs()) != 1 or len(self._session.get_outputs()) != 1:
            raise ModelUnreadable(path, "it does not have one input and one output")
        self._input = self._session.get_inputs()[0].name

    def run(self, blob: Floats) -> Floats:
        """Return the output as a flat float32 array. Raises InferenceFailed."""
        try:
            answer = self._session.run(None, {self._input: blob})[0]
        # onnxruntime raises its own exception classes, which derive from nothing narrower.
        except Exception as exc:
            raise InferenceFailed(self._name, type(exc).__name__) from exc
        values = np.asarray(answer, dtype=np.float32).reshape(-1)
        if not np.isfinite(values).all():
            raise InferenceFailed(self._name, "the answer is not finite")
        return values


def require_picture(image: Image, model: str) -> None:
    """Raise InferenceFailed unless `image` is BGR uint8 of at least 16x16 pixels."""
    shaped = image.ndim == 3 and image.shape[2] == 3 and min(image.shape[:2]) >= 16
    if not shaped or image.dtype != np.uint8:
        raise InferenceFailed(model, "the picture is not BGR uint8 of at least 16x16 pixels")


def require_crop(crop: Image, size: int, model: str) -> None:
    """Raise InferenceFailed unless `crop` is BGR uint8 of exactly `size` times `size` pixels."""
    if crop.shape != (size, size, 3) or crop.dtype != np.uint8:
        raise InferenceFailed(model, f"the crop is not {size}x{size} BGR uint8")
