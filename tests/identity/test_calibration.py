"""Thresholds follow from counted comparisons, and only as far as the counts reach."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity import calibrate
from identity.calibration import Calibration, load_calibration, parse_calibration
from identity.errors import CalibrationMismatch, CalibrationUnreadable, UnsupportedFalseMatchRate
from models.manifest import SFACE
from tests.identity import support


@pytest.fixture(scope="module")
def committed() -> Calibration:
    assert SFACE.contract_id is not None
    return load_calibration(SFACE.contract_id).values


def test_the_committed_calibration_supports_the_shipped_target(committed: Calibration) -> None:
    threshold = committed.threshold(Decimal("1e-4"))
    index = round(threshold * 1000) - committed.first_step
    assert committed.upper_95[index] <= committed.comparisons / 10_000
    assert committed.upper_95[index - 1] > committed.comparisons / 10_000


def test_the_committed_calibration_holds_nothing_but_counts() -> None:
    path = next(Path(calibrate.__file__).with_name("calibrations").glob("*.json"))
    fields = json.loads(path.read_text())
    numbers = {"pictures", "subjects", "comparisons", "first_step", "at_or_above", "upper_95"}
    words = {"format", "contract_id", "comparison", "made_from", "made_with"}
    assert set(fields) == numbers | words


@given(st.decimals("0.000007", "0.1"), st.decimals("0.000007", "0.1"))
def test_a_stricter_target_never_has_a_lower_threshold(a: Decimal, b: Decimal) -> None:
    assert SFACE.contract_id is not None
    values = load_calibration(SFACE.contract_id).values
    strict, loose = sorted((a, b))
    assert values.threshold(strict) >= values.threshold(loose)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_higher_score_never_has_a_higher_false_match_rate(a: float, b: float) -> None:
    low, high = sorted((a, b))
    values = support.calibration().values
    assert values.neg_log10_fmr(low) <= values.neg_log10_fmr(high)


@pytest.mark.parametrize("target", ["0", "1", "-0.1", "1e-6", "1e-12"])
def test_an_unsupported_target_is_refused(committed: Calibration, target: str) -> None:
    with pytest.raises(UnsupportedFalseMatchRate, match="smallest supported"):
        committed.threshold(Decimal(target))


def test_at_the_threshold_the_claimed_rate_is_the_target(committed: Calibration) -> None:
    assert committed.neg_log10_fmr(committed.threshold(Decimal("1e-4"))) >= 4
    assert committed.neg_log10_fmr(committed.threshold(Decimal("1e-4")) - 0.001) < 4


def test_no_more_is_claimed_than_the_smallest_supported_rate(committed: Calibration) -> None:
    most = committed.neg_log10_fmr(1.0)
    assert most == pytest.approx(-float(committed.smallest_target().log10()))


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_has_no_rate(committed: Calibration, score: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        committed.neg_log10_fmr(score)


def test_a_calibration_of_another_contract_is_refused(committed: Calibration) -> None:
    with pytest.raises(CalibrationMismatch):
        committed.require_contract("00" * 32)
    with pytest.raises(CalibrationUnreadable):
        load_calibration("00" * 32)


@pytest.mark.parametrize(
    "change",
    [
        {"at_or_above": [1, 2]},
        {"upper_95": [5]},
        {"upper_95": [0, 0]},
        {"comparisons": 0},
        {"format": "other"},
        {"surprise": 1},
    ],
)
def test_a_damaged_calibration_is_refused(
    committed: Calibration, change: dict[str, object]
) -> None:
    good = committed.model_dump(mode="json") | {"at_or_above": [9, 2], "upper_95": [12, 5]}
    parse_calibration(json.dumps(good).encode(), "c.json")
    with pytest.raises(CalibrationUnreadable, match=r"c\.json"):
        parse_calibration(json.dumps(good | change).encode(), "c.json")


def test_counting_compares_every_pair_of_different_people_once() -> None:
    embeddings = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    embeddings[3] = [0.6, 0.8, 0]
    found = calibrate.compare_all(embeddings, np.array([0, 0, 1, 2]))
    assert found.comparisons == 5
    assert sorted(found.scores.round(3)) == [0.6, 0.6, 0.8]


def test_bounds_are_at_least_the_counts_and_wider_when_few_people_repeat() -> None:
    random = np.random.default_rng(1)
    embeddings = random.normal(0, 1, (120, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    many = calibrate.compare_all(embeddings, np.arange(120))
    counts, upper = calibrate.count(many)
    assert all(bound >= value for value, bound in zip(counts, upper, strict=True))
    assert upper == sorted(upper, reverse=True)
    copies = np.repeat(embeddings[:12], 10, axis=0)
    few = calibrate.compare_all(copies, np.repeat(np.arange(12), 10))
    few_counts, few_upper = calibrate.count(few)
    assert few_upper[0] / few_counts[0] > upper[0] / counts[0]


def test_calibrate_refuses_pictures_of_one_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    out = tmp_path / "c.json"
    assert calibrate.main(["--images", str(tmp_path), "--out", str(out)]) == 1
    assert "fewer than two people" in capsys.readouterr().err
    assert not out.exists()
