"""Trying a model before it is installed: does it take and give what its manifest says?

A digest proves that a file is the one that was named, not that the name is right. So the file is
run twice on two pictures: sizes, finiteness, the same answer to the same picture, and another to
another. A graph that keeps weights in other files does not load: its digest would say nothing
about them.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.errors import ModelRefused
from models.manifest import ModelManifest
from models.sessions import PROVIDERS, session_options

Floats = npt.NDArray[np.float32]

# SCRFD with landmarks: scores, boxes and points for three strides, or for five.
_SCRFD_OUTPUTS = {9: 3, 15: 5}
_WIDTHS = (1, 4, 10)
_LARGEST_SIDE = 1920


def probe(manifest: ModelManifest, content: bytes) -> None:
    """Run a model on made pictures. Raises ModelRefused with what is not as the manifest says."""
    options = session_options(1)
    # Without it, a graph read as bytes finds such files in the working directory.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    try:
        session = onnxruntime.InferenceSession(content, options, providers=PROVIDERS)
    # onnxruntime raises its own exception classes, which derive from nothing narrower.
    except Exception as exc:
        raise ModelRefused(
            manifest.name, f"it is not a model that can be read ({type(exc).__name__})"
        ) from exc
    side = _side(manifest, session)
    first, again, other = (_run(manifest, session, _picture(side, n)) for n in (1, 1, 2))
    if manifest.role == "detection":
        _check_detection(manifest, first)
    else:
        _check_vector(manifest, first)
        if np.array_equal(first[0], other[0]):
            raise ModelRefused(manifest.name, "two different pictures give the same answer")
    if not all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)):
        raise ModelRefused(manifest.name, "the same picture gives different answers")


def _side(manifest: ModelManifest, session: onnxruntime.InferenceSession) -> int:
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    if len(shape) != 4 or inputs[0].type != "tensor(float)":
        raise ModelRefused(manifest.name, "it does not take one picture of floats")
    wanted = (3, manifest.input.size, manifest.input.size)
    for found, expected in zip(shape[1:], wanted, strict=True):
        if isinstance(found, int) and found != expected:
            said = "x".join(str(part) for part in shape[1:])
            raise ModelRefused(
                manifest.name, f"its input is {said}, the manifest says {wanted[0]}x{wanted[1]}x"
                f"{wanted[2]}",
            )  # fmt: skip
    return int(manifest.input.size or _LARGEST_SIDE)


def _picture(side: int, seed: int) -> Floats:
    values = np.random.default_rng(seed).uniform(-1, 1, (1, 3, side, side))
    return values.astype(np.float32)


def _run(
    manifest: ModelManifest, session: onnxruntime.InferenceSession, picture: Floats
) -> list[Floats]:
    try:
        answers = session.run(None, {session.get_inputs()[0].name: picture})
    # onnxruntime raises its own exception classes, which derive from nothing narrower.
    except Exception as exc:
        raise ModelRefused(manifest.name, f"it does not run ({type(exc).__name__})") from exc
    arrays = [np.asarray(answer) for answer in answers]
    if not all(a.dtype == np.float32 and a.size and np.isfinite(a).all() for a in arrays):
        raise ModelRefused(manifest.name, "its answer is empty or not of finite numbers")
    return arrays


def _check_vector(manifest: ModelManifest, answers: list[Floats]) -> None:
    wanted = 3 if manifest.contract is None else manifest.contract.dimensions
    if len(answers) != 1 or answers[0].size != wanted:
        said = " and ".join(str(answer.size) for answer in answers)
        raise ModelRefused(manifest.name, f"it gives {said} values, the manifest says {wanted}")


def _check_detection(manifest: ModelManifest, answers: list[Floats]) -> None:
    strides = _SCRFD_OUTPUTS.get(len(answers))
    if strides is None:
        raise ModelRefused(
            manifest.name, f"it has {len(answers)} outputs, SCRFD with landmarks has 9 or 15"
        )
    widths = [answer.shape[-1] for answer in answers]
    if widths != [width for width in _WIDTHS for _ in range(strides)]:
        raise ModelRefused(manifest.name, "its outputs are not scores, boxes and five points")
