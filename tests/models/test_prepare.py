"""Preparation gives the same function with float weights, deterministically."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from models.errors import PreparationFailed
from models.prepare import prepare


def test_prepared_model_computes_what_the_source_computes(quantised_model: bytes) -> None:
    given = {"data": np.linspace(-1, 1, 5, dtype=np.float32).reshape(1, 5)}
    reference = ReferenceEvaluator(onnx.load_from_string(quantised_model))
    expected = np.asarray(reference.run(["y"], given)[0])
    session = onnxruntime.InferenceSession(
        prepare(quantised_model, "tiny", "data"), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(session.run(["y"], given)[0], expected, rtol=1e-5)


def test_only_the_picture_remains_an_input(quantised_model: bytes) -> None:
    graph = onnx.load_from_string(prepare(quantised_model, "tiny", "data")).graph
    assert [item.name for item in graph.input] == ["data"]
    assert {node.op_type for node in graph.node} == {"Gemm"}
    assert {item.name for item in graph.initializer} == {"w", "b"}


def test_preparation_is_deterministic(quantised_model: bytes) -> None:
    first = prepare(quantised_model, "tiny", "data")
    assert prepare(quantised_model, "tiny", "data") == first


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(PreparationFailed, match="not an ONNX file"):
        prepare(b"\xff\xff\xff\xff", "tiny", "data")


def test_a_model_without_the_named_input_is_refused(quantised_model: bytes) -> None:
    with pytest.raises(PreparationFailed, match="no graph input named picture"):
        prepare(quantised_model, "tiny", "picture")
