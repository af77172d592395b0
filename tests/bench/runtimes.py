"""Which runtime runs which model: onnxruntime beside OpenCV's own, in turns, one and two threads.

Models that are not installed are taken from ../shared where it is there. Loading is measured with
and without a stored optimised graph, each in a process of its own (docs/decisions/0009).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

from models.folder import models_folder
from models.manifest import KNOWN, SFACE, YUNET, ModelManifest
from models.opencv import cv2
from models.sessions import PROVIDERS, session_options

SHARED = Path(__file__).parents[2].parent / "shared" / "models"
ROUNDS, LOADS = 40, 7
_DETECT_SIZES = ((640, 480), (320, 240))

_LOAD = """
import sys, time
import onnxruntime
from models.sessions import PROVIDERS, session_options
options = session_options(1)
if sys.argv[2] == "stored":
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
started = time.perf_counter()
onnxruntime.InferenceSession(sys.argv[1], options, providers=PROVIDERS)
print(time.perf_counter() - started)
"""


def measure() -> Iterator[dict[str, object]]:
    for threads in (1, 2):
        cv2.setNumThreads(threads)
        for manifest in KNOWN:
            path = _path(manifest)
            if path is not None and manifest.role != "detection":
                yield from _networks(manifest, path, threads)
        yield from _detection(threads)
    cv2.setNumThreads(1)
    yield from _loading()


def _path(manifest: ModelManifest) -> Path | None:
    places = (models_folder() / manifest.file_name, SHARED / manifest.source_member)
    return next((place for place in places if place.is_file()), None)


def _networks(manifest: ModelManifest, path: Path, threads: int) -> Iterator[dict[str, object]]:
    size = manifest.input.size or 112
    blob = np.random.default_rng(1).uniform(0, 1, (1, 3, size, size)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), session_options(threads), PROVIDERS)
    name = session.get_inputs()[0].name
    net = cv2.dnn.readNetFromONNX(str(path))

    def opencv() -> None:
        net.setInput(blob)
        net.forward()

    yield _line(manifest.name, threads, lambda: session.run(None, {name: blob}), opencv)


def _detection(threads: int) -> Iterator[dict[str, object]]:
    """YuNet's graph has a fixed input, so onnxruntime could not run it at these sizes at all."""
    path = str(models_folder() / YUNET.file_name)
    for size in _DETECT_SIZES:
        detect = cv2.FaceDetectorYN.create(path, "", size).detect
        picture = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        found = partial(detect, picture)
        yield {
            "bench": "runtimes", "model": f"{YUNET.name} {size[0]}x{size[1]}", "threads": threads,
            "opencv_ms": _median([_timed(found) for _ in range(ROUNDS)]),
        }  # fmt: skip


def _line(
    model: str, threads: int, ours: Callable[[], object], opencv: Callable[[], object]
) -> dict[str, object]:
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 3):
        for kept, run in zip(times, (ours, opencv), strict=True):
            taken = _timed(run)
            if number >= 3:
                kept.append(taken)
    onnx_ms, opencv_ms = _median(times[0]), _median(times[1])
    return {
        "bench": "runtimes", "model": model, "threads": threads, "onnxruntime_ms": onnx_ms,
        "opencv_ms": opencv_ms, "ratio": round(onnx_ms / opencv_ms, 2),
    }  # fmt: skip


def _loading() -> Iterator[dict[str, object]]:
    with tempfile.TemporaryDirectory() as scratch:
        source, stored = models_folder() / SFACE.file_name, Path(scratch) / "stored.onnx"
        options = session_options(1)
        options.optimized_model_filepath = str(stored)
        onnxruntime.InferenceSession(str(source), options, PROVIDERS)
        plain = [_load(source, "plain") for _ in range(LOADS)]
        cached = [_load(stored, "stored") for _ in range(LOADS)]
        yield {
            "bench": "runtimes", "model": SFACE.name, "loads": LOADS,
            "load_ms": _median(plain), "load_stored_ms": _median(cached),
            "ratio": round(_median(cached) / _median(plain), 2),
        }  # fmt: skip


def _load(path: Path, how: str) -> float:
    command = [sys.executable, "-c", _LOAD, str(path), how]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _median(seconds: list[float]) -> float:
    return round(1000 * float(np.median(seconds)), 2)
