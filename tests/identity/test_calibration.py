"""Thresholds follow from counted comparisons, and only as far as the counts reach."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import genpareto

from identity import calibrate
from identity.calibration import (
    Calibration,
    largest_gap,
    load_calibration,
    parse_calibration,
)
from identity.capture_chain import attempt_frames
from identity.errors import (
    CalibrationMismatch,
    CalibrationOfMoreFrames,
    CalibrationUnreadable,
    UnsupportedFalseMatchRate,
)
from identity.policy import load_policy
from models.manifest import SFACE
from tests.identity import support


@pytest.fixture(scope="module")
def committed() -> Calibration:
    assert SFACE.contract_id is not None
    return load_calibration(SFACE.contract_id).values


def test_the_committed_calibration_supports_every_rate_of_the_shipped_policy(
    committed: Calibration,
) -> None:
    policy = load_policy()
    committed.require_frames(policy.matching.frames)
    rates = [band.false_match_rate for band in policy.bands]
    rates += [policy.matching.grey_false_match_rate, policy.matching.stale_false_match_rate]
    for rate in rates:
        target = rate / policy.transaction.comparisons
        threshold = committed.threshold(target)
        index = round(threshold * 1000) - committed.first_step
        assert committed.upper_95[index] <= committed.comparisons * target
        assert committed.neg_log10_fmr(threshold) >= -float(target.log10()) - 1e-9
        assert committed.neg_log10_fmr(threshold - 0.001) < -float(target.log10())


def test_the_committed_calibration_holds_counts_and_a_tail_and_nothing_else() -> None:
    path = next(Path(calibrate.__file__).with_name("calibrations").glob("*.json"))
    fields = json.loads(path.read_text())
    numbers = {"frames", "pictures", "subjects", "comparisons", "first_step", "at_or_above"}
    words = {"format", "contract_id", "comparison", "made_from", "made_with"}
    assert set(fields) == numbers | words | {"upper_95", "tail"}
    assert set(fields["tail"]) == {"from_step", "exceedances", "shape", "scale", "largest_gap"}


def test_the_larger_of_bound_and_tail_decides(committed: Calibration) -> None:
    target = Decimal("1e-5")
    counted = next(
        i for i, n in enumerate(committed.upper_95) if n <= committed.comparisons * target
    )
    assert committed.threshold(target) > (committed.first_step + counted) / 1000
    # The same counts with a heavier tail: the threshold follows the tail.
    heavier = committed.tail.model_copy(update={"scale": committed.tail.scale * Decimal("1.04")})
    gap = largest_gap(heavier, committed.first_step, committed.at_or_above)
    heavier = heavier.model_copy(update={"largest_gap": Decimal(repr(gap))})
    other = Calibration.model_validate(committed.model_dump() | {"tail": heavier.model_dump()})
    assert other.threshold(target) > committed.threshold(target)


def test_fewer_frames_than_were_calibrated_are_refused(committed: Calibration) -> None:
    committed.require_frames(committed.frames + 1)
    with pytest.raises(CalibrationOfMoreFrames, match="4 fused frames, the policy fuses 3"):
        committed.require_frames(committed.frames - 1)


def test_a_calibration_of_format_1_is_refused_with_one_line(committed: Calibration) -> None:
    old = committed.model_dump(mode="json") | {"format": "countersight-calibration-1"}
    with pytest.raises(CalibrationUnreadable, match=r"format 1 \(single pictures\)"):
        parse_calibration(json.dumps(old).encode(), "old.json")


@pytest.mark.parametrize(
    "change",
    [
        {"scale": "0.05"},
        {"scale": "0.01"},
        {"shape": "-0.5"},
        {"exceedances": 7098},
        {"largest_gap": "0"},
        {"from_step": 100},
        {"from_step": 5000},
        {"scale": "1e-400"},
        {"shape": "NaN"},
    ],
)
def test_a_tail_that_contradicts_the_counts_is_refused(
    committed: Calibration, change: dict[str, object]
) -> None:
    fields = committed.model_dump(mode="json")
    fields["tail"] |= change
    with pytest.raises(CalibrationUnreadable, match=r"tail"):
        parse_calibration(json.dumps(fields).encode(), "c.json")


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
        {"tail": None},
        {"frames": 0},
        # Far more comparisons than the pictures allow would make every rate look small.
        {"comparisons": 10**15},
        {"comparisons": 10**400},
        {"pictures": 3800},
        {"subjects": 3812},
        {"first_step": -5000},
        {"first_step": 10**400},
    ],
)
def test_a_damaged_calibration_is_refused(
    committed: Calibration, change: dict[str, object]
) -> None:
    good = committed.model_dump(mode="json")
    parse_calibration(json.dumps(good).encode(), "c.json")
    with pytest.raises(CalibrationUnreadable, match=r"c\.json"):
        parse_calibration(json.dumps(good | change).encode(), "c.json")


ONE_STEP = {"at_or_above": [30], "upper_95": [30]}
ONE_TAIL = {"exceedances": 30, "largest_gap": "0"}


@pytest.mark.parametrize(
    ("change", "tail", "key"),
    [
        # One step that hardly anybody reaches, at the bottom, in the middle or at the file's own.
        (ONE_STEP | {"first_step": -1000}, ONE_TAIL | {"from_step": -1000}, "at_or_above: 0 of"),
        (ONE_STEP | {"first_step": 0}, ONE_TAIL | {"from_step": 0}, "at_or_above: 0 of"),
        (ONE_STEP | {"first_step": 200}, ONE_TAIL | {"from_step": 200}, "at_or_above: 30 of"),
        # All scores shifted down, which no single count contradicts.
        ({"first_step": -200}, {"from_step": -34}, "at_or_above: 24 of"),
        # More comparisons than were counted, with pictures to match.
        ({"comparisons": 2**53 - 1, "pictures": 2**53 - 1}, {}, "at_or_above: 919683 of"),
        ({"comparisons": 919682}, {}, "upper_95: below its count, or at_or_above: above all"),
        ({"comparisons": 1e308}, {}, "comparisons: "),
        ({"at_or_above": [-1]}, {}, "at_or_above.0: "),
        ({"upper_95": [0] * 739}, {}, "upper_95: below its count"),
        ({}, {"shape": float("nan")}, "tail.shape: "),
        ({}, {"shape": 1e308}, "tail.shape: "),
        ({}, {"scale": 1e308}, "tail.scale: "),
        ({}, {"largest_gap": "1e99999"}, "tail: "),
    ],
)
def test_no_crafted_file_makes_a_threshold_low(
    committed: Calibration, change: dict[str, object], tail: dict[str, object], key: str
) -> None:
    fields = committed.model_dump(mode="json") | change
    fields["tail"] = fields["tail"] | tail
    with pytest.raises(CalibrationUnreadable) as refused:
        parse_calibration(json.dumps(fields).encode(), "c.json")
    assert str(refused.value).startswith(f"Calibration c.json cannot be used: {key}")


@pytest.mark.parametrize("key", ["at_or_above", "upper_95"])
def test_counts_that_rise_are_refused_by_their_key(committed: Calibration, key: str) -> None:
    fields = committed.model_dump(mode="json")
    fields[key][5] = fields[key][4] + 1
    with pytest.raises(CalibrationUnreadable, match=f"{key}: counts must not rise"):
        parse_calibration(json.dumps(fields).encode(), "c.json")


def test_a_target_is_refused_where_fewer_than_30_comparisons_are_left(
    committed: Calibration,
) -> None:
    last = max(i for i, count in enumerate(committed.at_or_above) if count >= 30)
    fields = committed.model_dump(mode="json")
    fields["at_or_above"][last + 1] = 29
    values = parse_calibration(json.dumps(fields).encode(), "c.json").values
    smallest = values.smallest_target()
    assert values.threshold(smallest) <= (values.first_step + last) / 1000
    # A share that is less than one comparison smaller is another target: nothing is rounded up.
    for less in (Decimal("0.5"), Decimal(1)):
        with pytest.raises(UnsupportedFalseMatchRate):
            values.threshold(smallest - less / values.comparisons)


def test_a_tail_that_is_far_from_the_counts_is_refused_even_when_it_says_so(
    committed: Calibration,
) -> None:
    far = committed.tail.model_copy(update={"scale": committed.tail.scale * Decimal("1.2")})
    gap = largest_gap(far, committed.first_step, committed.at_or_above)
    assert gap > 0.3
    fields = committed.model_dump(mode="json")
    fields["tail"] |= {"scale": str(far.scale), "largest_gap": str(gap)}
    with pytest.raises(CalibrationUnreadable, match="tail: the model and the counts"):
        parse_calibration(json.dumps(fields).encode(), "c.json")


def test_counting_compares_every_two_pictures_of_different_people_once() -> None:
    pictures = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    pictures[3] = [0.6, 0.8, 0]
    found = calibrate.compare_all(pictures, pictures, np.array([0, 0, 1, 2]))
    assert found.comparisons == 5
    assert sorted(found.scores.round(3)) == [0.6, 0.6, 0.8]


def test_each_comparison_is_of_an_attempt_with_a_picture() -> None:
    probes = np.array([[0.5, 0], [0.3, 0.4]], dtype=np.float32)
    pictures = np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)
    found = calibrate.compare_all(probes, pictures, np.array([0, 1]))
    # The second picture is the attempt here: 0.3 * 0.6 + 0.4 * 0.8, never picture with picture.
    assert found.scores.round(6) == pytest.approx([0.5])


def _random_people(people: int) -> np.ndarray:
    random = np.random.default_rng(1)
    embeddings = random.normal(0, 1, (people, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings


def test_bounds_are_at_least_the_counts_and_wider_when_few_people_repeat() -> None:
    embeddings = _random_people(120)
    many = calibrate.compare_all(embeddings, embeddings, np.arange(120))
    counts, upper = calibrate.count(many)
    assert all(bound >= value for value, bound in zip(counts, upper, strict=True))
    assert upper == sorted(upper, reverse=True)
    copies = np.repeat(embeddings[:12], 10, axis=0)
    few = calibrate.compare_all(copies, copies, np.repeat(np.arange(12), 10))
    few_counts, few_upper = calibrate.count(few)
    assert few_upper[0] / few_counts[0] > upper[0] / counts[0]


def _lookalikes(pictures: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return an embedding for each picture of people of whom some look alike."""
    people = len(pictures)
    centres = random.normal(0, 1, (people, 24))
    centres[:, 0] += random.exponential(1.5, people)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    centres = np.repeat(centres, pictures, axis=0)
    found = centres + random.normal(0, 0.12, centres.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def _exceeded(repetitions: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how often the true rate at the threshold of 1e-2 is more than 1e-2."""
    random = np.random.default_rng(20)
    many, others = (_lookalikes(np.ones(5000, np.int64), random) for _ in range(2))
    scores = (many @ others.T).ravel()
    true = float(np.partition(scores, -len(scores) // 100)[-len(scores) // 100])
    monkeypatch.setattr(calibrate, "_FIRST_STEP", 450)
    monkeypatch.setattr(calibrate, "_RESAMPLES", 200)
    exceeded = 0
    for _ in range(repetitions):
        pictures = random.geometric(0.5, 300)
        embeddings = _lookalikes(pictures, random)
        found = calibrate.compare_all(
            embeddings, embeddings, np.repeat(np.arange(len(pictures)), pictures)
        )
        upper = np.array(calibrate.count(found)[1])
        threshold = 0.45 + int(np.argmax(upper <= 0.01 * found.comparisons)) / 1000
        exceeded += threshold < true
    return exceeded


def test_a_threshold_keeps_its_rate_among_people_it_was_not_made_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One in twenty, and with as few people as here somewhat more (decision 0002).
    assert _exceeded(40, monkeypatch) <= 6


def test_a_bound_that_forgets_that_people_occur_again_does_not_keep_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibrate, "_bootstrap_upper", lambda *_: np.zeros(1))
    assert _exceeded(40, monkeypatch) >= 12


@pytest.mark.parametrize(("shape", "scale"), [(0.0, 0.03), (-0.2, 0.05), (0.1, 0.02)])
def test_the_fit_finds_the_tail_that_the_scores_came_from(shape: float, scale: float) -> None:
    random = np.random.default_rng(3)
    scores = 0.3 + genpareto.rvs(shape, scale=scale, size=8000, random_state=random)
    found = calibrate.NonMated(
        scores.clip(0, 1), np.zeros(8000, np.int64), np.ones(8000, np.int64), np.full(2829, 1)
    )
    tail = calibrate.fit_tail(found, calibrate.count(found)[0])
    assert tail.exceedances <= found.comparisons / 1000
    # Past its own threshold a generalised Pareto tail keeps its shape; its scale follows.
    assert float(tail.shape) == pytest.approx(shape, abs=0.08)
    past = tail.from_step / 1000 - 0.3
    assert float(tail.scale) == pytest.approx(scale + shape * past, rel=0.12)


def test_frames_of_one_attempt_are_seeded_close_and_not_the_same() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (7, 7, 3), dtype=np.uint8)
    picture = np.kron(picture, np.ones((16, 16, 1), np.uint8))
    frames = attempt_frames(picture, 4, b"seed")
    again = attempt_frames(picture, 4, b"seed")
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    assert not np.array_equal(frames[0], attempt_frames(picture, 1, b"other")[0])
    assert len({frame.tobytes() for frame in frames}) == 4
    assert all(frame.shape == picture.shape and frame.dtype == np.uint8 for frame in frames)
    assert all(np.corrcoef(frame.ravel(), picture.ravel())[0, 1] > 0.8 for frame in frames)


def test_calibrate_refuses_pictures_of_one_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    out = tmp_path / "c.json"
    assert calibrate.main(["--images", str(tmp_path), "--out", str(out)]) == 1
    assert "fewer than two people" in capsys.readouterr().err
    assert not out.exists()
