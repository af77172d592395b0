"""Models of a few nodes that take and give what real ones do: an SCRFD, an ArcFace, a MiniFASNet.

The SCRFD finds bright 8x8 cells; the others mix the mean of each channel. No real pack is at hand
in the tests, so these are what the pack code is tried with.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DETECTION_SIDE = 96
DIMENSIONS = 40
_ANCHORS = 2


def _model(
    nodes: list[onnx.NodeProto],
    side: int,
    outputs: dict[str, list[int]],
    weights: dict[str, np.ndarray],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def vector_model(side: int = 112, dimensions: int = DIMENSIONS, *, constant: bool = False) -> bytes:
    """Return a model from one picture to `dimensions` numbers."""
    mix = np.random.default_rng(dimensions).normal(0, 1, (3, dimensions)).astype(np.float32)
    weights = {"mix": mix * 0 if constant else mix, "bias": np.ones(dimensions, np.float32)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Gemm", ["flat", "mix", "bias"], ["vector"]),
    ]
    return _model(nodes, side, {"vector": [1, dimensions]}, weights)


def broken_vector_model() -> bytes:
    """Return a model whose answer is not a number."""
    weights = {"zero": np.zeros((3, DIMENSIONS), np.float32)}
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "zero"], ["nothing"]),
        helper.make_node("Div", ["nothing", "nothing"], ["vector"]),
    ]
    return _model(nodes, 112, {"vector": [1, DIMENSIONS]}, weights)


def vector_with_outside_weights(of: str) -> bytes:
    """Return a model whose weights lie in the file `of` beside it (or anywhere else)."""
    model = onnx.load_from_string(vector_model())
    for weight in model.graph.initializer:
        weight.data_location = TensorProto.EXTERNAL
        weight.ClearField("raw_data")
        weight.external_data.add(key="location", value=of)
    return bytes(model.SerializeToString())


def scrfd_model(side: int = DETECTION_SIDE) -> bytes:
    """Return a detector that scores the brightness of 8x8 cells and puts one box around each."""
    nodes, outputs = [helper.make_node("ReduceMean", ["picture"], ["grey"], axes=[1])], {}
    weights: dict[str, np.ndarray] = {"column": np.array([-1, 1], np.int64)}
    for stride in (8, 16, 32):
        cells = (side // stride) ** 2
        name = f"score_{stride}"
        if stride == 8:
            shape = [stride, stride]
            nodes += [
                helper.make_node(
                    "AveragePool", ["grey"], ["cells"], kernel_shape=shape, strides=shape
                ),
                helper.make_node("Reshape", ["cells", "column"], ["single"]),
                helper.make_node("Concat", ["single", "single"], ["pairs"], axis=1),
                helper.make_node("Reshape", ["pairs", "column"], [name]),
            ]
        else:
            weights[f"{name}_c"] = np.full((cells * _ANCHORS, 1), -1, np.float32)
            nodes.append(helper.make_node("Identity", [f"{name}_c"], [name]))
        outputs[name] = [cells * _ANCHORS, 1]
    points = np.array([-0.4, -0.4, 0.4, -0.4, 0, 0, -0.3, 0.4, 0.3, 0.4], np.float32)
    for kind, row in (("box", np.ones(4, np.float32)), ("points", points)):
        for stride in (8, 16, 32):
            rows = (side // stride) ** 2 * _ANCHORS
            weights[f"{kind}_{stride}_c"] = np.tile(row, (rows, 1))
            nodes.append(helper.make_node("Identity", [f"{kind}_{stride}_c"], [f"{kind}_{stride}"]))
            outputs[f"{kind}_{stride}"] = [rows, len(row)]
    return _model(nodes, side, outputs, weights)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_pack(
    folder: Path,
    *,
    detection: bytes | None = None,
    embedding: bytes | None = None,
    commercial_use: bool = True,
    dimensions: int = DIMENSIONS,
    extra: str = "",
) -> Path:
    """Write a pack's files and its manifest into `folder`; return the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = 'name = "tiny-pack"\nlicence = "made by the tests"\ntraining_data = "none"\n'
    text += f"commercial_use = {str(commercial_use).lower()}\n{extra}"
    if detection is not None:
        (folder / "det.onnx").write_bytes(detection)
        text += f'[[models]]\nrole = "detection"\nfile = "det.onnx"\nsha256 = "{sha256(detection)}"'
        text += f"\ninput_size = {DETECTION_SIDE}\n"
    if embedding is not None:
        (folder / "rec.onnx").write_bytes(embedding)
        text += f'[[models]]\nrole = "embedding"\nfile = "rec.onnx"\nsha256 = "{sha256(embedding)}"'
        text += f'\ninput_size = 112\nmean = "127.5"\nstd = "127.5"\ndimensions = {dimensions}\n'
    manifest = folder / "pack.toml"
    manifest.write_text(text)
    return manifest
