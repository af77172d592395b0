"""Preparation of a source model: plain float weights, and no input but the picture.

The published SFace and YuNet files carry block-quantised int8 weights behind DequantizeLinear
and Reshape nodes, and SFace lists all its weights as graph inputs. onnxruntime and OpenCV 5
refuse that form. Preparation multiplies the weights out once and removes the stale inputs.

It is deterministic: every weight is `(q - zero_point) * scale` in IEEE single precision, one
rounding per value, and the ONNX schema has no map fields, so serialisation follows field numbers.
The prepared digest is therefore taken over the bytes of the file.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from models.errors import PreparationFailed


def prepare(source: bytes, name: str, input_name: str) -> bytes:
    """Return the prepared model, whose only graph input is `input_name`.

    Raises PreparationFailed when the source is not an ONNX model of the known structure.
    """
    try:
        model = onnx.load_from_string(source)
    except DecodeError as exc:
        raise PreparationFailed(name, "it is not an ONNX file") from exc
    _multiply_out(model.graph, name)
    _keep_only_input(model.graph, name, input_name)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as exc:
        raise PreparationFailed(name, "the prepared graph is not valid ONNX") from exc
    return bytes(model.SerializeToString(deterministic=True))


def _multiply_out(graph: onnx.GraphProto, name: str) -> None:
    """Replace constant DequantizeLinear and Reshape nodes by the weights they produce."""
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    produced: dict[str, npt.NDArray[np.float32]] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and all(i in constants for i in node.input):
            produced[node.output[0]] = _dequantise(node, constants, name)
        elif node.op_type == "Reshape" and node.input[0] in produced:
            shape = tuple(int(size) for size in constants[node.input[1]])
            produced[node.output[0]] = produced[node.input[0]].reshape(shape)
        else:
            kept.append(node)
    used = {i for node in kept for i in node.input}
    initializers = [item for item in graph.initializer if item.name in used]
    initializers += [
        numpy_helper.from_array(np.ascontiguousarray(values), weight)
        for weight, values in produced.items()
        if weight in used
    ]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(initializers)


def _dequantise(
    node: onnx.NodeProto, constants: dict[str, npt.NDArray[np.generic]], name: str
) -> npt.NDArray[np.float32]:
    settings = {item.name: item.i for item in node.attribute}
    axis, block = settings.get("axis", 1), settings.get("block_size", 0)
    quantised, scale = constants[node.input[0]], constants[node.input[1]].astype(np.float32)
    zero = constants[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale, np.int8)
    if block <= 0 or quantised.dtype != np.int8:
        raise PreparationFailed(name, f"weight {node.input[0]} is not block-quantised int8")
    length = quantised.shape[axis]
    wide_scale = np.repeat(scale, block, axis=axis).take(range(length), axis=axis)
    wide_zero = np.repeat(zero, block, axis=axis).take(range(length), axis=axis)
    centred = quantised.astype(np.int16) - wide_zero.astype(np.int16)
    return (centred.astype(np.float32) * wide_scale).astype(np.float32)


def _keep_only_input(graph: onnx.GraphProto, name: str, input_name: str) -> None:
    wanted = [item for item in graph.input if item.name == input_name]
    if len(wanted) != 1:
        raise PreparationFailed(name, f"it has no graph input named {input_name}")
    del graph.input[:]
    graph.input.extend(wanted)
