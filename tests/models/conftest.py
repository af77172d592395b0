"""A tiny block-quantised model, built here, and the installed models, loaded once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.manifest import InputContract, Licence, ModelManifest
from models.prepare import prepare
from models.runtime import LoadedModels, load_models


@pytest.fixture(scope="session")
def loaded() -> LoadedModels:
    return load_models(threads=1)


@pytest.fixture(scope="session")
def quantised_model() -> bytes:
    """y = data @ W + b, with W and b block-quantised and every weight also a graph input."""
    rng = np.random.default_rng(7)
    initializers = [
        numpy_helper.from_array(rng.integers(-128, 127, (4, 10), dtype=np.int8), "w_q"),
        numpy_helper.from_array(rng.random((4, 3), dtype=np.float32), "w_scale"),
        numpy_helper.from_array(rng.integers(-5, 5, (4, 3), dtype=np.int8), "w_zero"),
        numpy_helper.from_array(np.array([5, 8], dtype=np.int64), "w_shape"),
        numpy_helper.from_array(rng.integers(-128, 127, (8,), dtype=np.int8), "b_q"),
        numpy_helper.from_array(rng.random((2,), dtype=np.float32), "b_scale"),
        numpy_helper.from_array(np.zeros((2,), dtype=np.int8), "b_zero"),
    ]
    nodes = [
        helper.make_node(
            "DequantizeLinear", ["w_q", "w_scale", "w_zero"], ["w_flat"], axis=1, block_size=4
        ),
        helper.make_node("Reshape", ["w_flat", "w_shape"], ["w"]),
        helper.make_node(
            "DequantizeLinear", ["b_q", "b_scale", "b_zero"], ["b"], axis=0, block_size=4
        ),
        helper.make_node("Gemm", ["data", "w", "b"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 5])]
    inputs += [
        helper.make_tensor_value_info(item.name, item.data_type, list(item.dims))
        for item in initializers
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def tiny(quantised_model: bytes) -> ModelManifest:
    return ModelManifest(
        name="tiny",
        role="embedding",
        file_name="tiny.float.onnx",
        source="built by the tests",
        source_member="somewhere/tiny_int8bq.onnx",
        source_sha256=hashlib.sha256(quantised_model).hexdigest(),
        prepared_sha256=hashlib.sha256(prepare(quantised_model, "tiny", "data")).hexdigest(),
        input_name="data",
        input=InputContract(None, "BGR", ("0",), ("1",), "five numbers"),
        output="eight numbers",
        licence=Licence("none", commercial_use=True),
        training_data="none",
    )


@pytest.fixture
def source_folder(tmp_path: Path, quantised_model: bytes) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "tiny_int8bq.onnx").write_bytes(quantised_model)
    return folder
