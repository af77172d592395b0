"""Rates on small sets whose answers are counted by hand, and failures that are no non-matches."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from identity.calibration import Calibration
from identity.errors import ImageRefused, NothingCompared
from identity.evaluate import Compared, compare, goodness, report
from identity.evaluate_capture import Captured, Capturer, Taken, labelled_face
from identity.evaluate_fusion import fused_scores, fusion_report
from identity.evaluate_protocol import Pair, Protocol
from identity.plots import det_plot, discard_plot, score_plot
from identity.policy import IdentityPolicy
from identity.statistics import Scored
from models.opencv import cv2
from models.values import Embedding, FaceDetection, Image
from tests.identity import support

PEOPLE = 12


def embedding_of(person: int, lean: float) -> Embedding:
    return support.unit_vector(2 * person, lean)


def made_up(missing: Sequence[str] = ()) -> tuple[Protocol, Captured]:
    """Twelve people with two pictures each; all pairs. Person 0's second looks like person 1."""
    names = [f"p{person}/{number}.jpg" for person in range(PEOPLE) for number in (1, 2)]
    pairs = tuple(
        Pair(left, right, left.split("/")[0] == right.split("/")[0], line=2)
        for index, left in enumerate(names)
        for right in names[index + 1 :]
    )
    person = {name: int(name[1:].split("/")[0]) for name in names}
    captured = Captured(timing_ms={"embed": [1.0, 3.0]})
    for name in names:
        looks_like = 1 if name == "p0/2.jpg" else person[name]
        vector = embedding_of(looks_like, 0.2 if name.endswith("2.jpg") else 0.0)
        captured.pictures[name] = Taken(None, vector, None, {"sharpness": 100.0 + person[name]})
        if name in missing:
            captured.pictures[name] = Taken("NO_FACE")
    return Protocol("p", "csv", pairs, None, person), captured


def reported(*missing: str, calibration: Calibration | None = None) -> dict[str, object]:
    protocol, captured = made_up(missing)
    return report(protocol, captured, compare(protocol, captured), calibration)


def test_rates_are_those_counted_by_hand() -> None:
    found = reported()
    assert (found["mated"], found["non_mated"], found["people"]) == (12, 264, 12)
    assert (found["fta"], found["fta_comparisons"], found["fta_reasons"]) == (0.0, 0.0, {})
    points = found["points"]
    assert isinstance(points, list)
    assert [row["fmr_target"] for row in points] == [0.1, 0.01, 0.001]
    # Person 0's second picture matches both of person 1: 2 of 264. At 1 % both may match; at
    # 0.1 % none may, so the threshold rises above them.
    assert points[1]["fmr"] == pytest.approx(2 / 264)
    assert points[1]["fnmr"] == pytest.approx(1 / 12)
    assert points[2]["fmr"] == 0.0
    assert points[2]["resolved"] is False
    assert points[0]["resolved"] is True
    low, high = points[1]["fnmr_ci"]
    assert low <= 1 / 12 <= high
    assert high >= 0.38  # the exact interval of 1 of 12 reaches 0.385
    assert json.loads(json.dumps(found, allow_nan=False))["timing_ms"]["embed"] == {
        "median": 2.0,
        "p95": 2.9,
        "count": 2,
    }


def test_the_same_pictures_give_the_same_report() -> None:
    assert reported() == reported()


def test_what_could_not_be_captured_is_no_non_match() -> None:
    found = reported("p5/1.jpg")
    assert (found["mated"], found["non_mated"]) == (11, 242)
    assert found["fta"] == pytest.approx(1 / 24, abs=1e-6)
    assert found["fta_reasons"] == {"NO_FACE": 1}
    assert found["fta_comparisons"] == pytest.approx(1 - 253 / 276, abs=1e-6)
    points = found["points"]
    assert isinstance(points, list)
    assert points[1]["fnmr"] == pytest.approx(1 / 11)
    # The generalised rate holds both: one non-match and one that was never compared, of twelve.
    assert points[1]["gfrr"] == pytest.approx(2 / 12)


def test_nothing_to_compare_is_an_answer_of_its_own() -> None:
    protocol, captured = made_up([f"p{person}/1.jpg" for person in range(PEOPLE)])
    with pytest.raises(NothingCompared, match="66 of 276"):
        compare(protocol, captured)


def test_the_thresholds_of_the_calibration_are_reported_too() -> None:
    found = reported(calibration=support.calibration().values)
    rows = found["calibrated"]
    assert isinstance(rows, list)
    assert [(row["fmr_target"], row["threshold"]) for row in rows][:2] == [(1e-3, 0.3), (1e-4, 0.4)]
    assert all(row["fnmr"] == pytest.approx(1 / 12) for row in rows)


@pytest.mark.parametrize(
    ("name", "worse", "better"),
    [
        ("yaw_degrees", -30.0, 5.0),
        ("clipped_share", 0.5, 0.0),
        ("brightness", 250.0, 120.0),
        ("sharpness", 10.0, 90.0),
        ("sharpness", math.nan, 0.0),
    ],
)
def test_every_measure_is_turned_so_that_more_is_better(
    name: str, worse: float, better: float
) -> None:
    assert goodness(name, worse) < goodness(name, better)


# -- fusion ------------------------------------------------------------------------------------


def two_models(second_helps: bool) -> tuple[Compared, np.ndarray]:
    random = np.random.default_rng(4)
    count = 600
    mated = np.arange(count) % 2 == 0
    truth = np.where(mated, 1.4, 0.0)
    first = truth + random.normal(0, 0.5, count)
    second = (truth if second_helps else 0.0) + random.normal(0, 0.5, count)
    scored = Scored(first, mated, np.arange(count), np.where(mated, np.arange(count), count))
    folds = np.arange(count) // 120
    return Compared(scored, (), folds, "five folds", second, {}), second


def test_an_independent_second_model_is_found_to_help() -> None:
    found = fusion_report(*two_models(second_helps=True))
    points = found["points"]
    assert isinstance(points, list)
    assert points[1]["better"] is True
    assert points[1]["fnmr_fused"] < points[1]["fnmr_first"] / 2


def test_a_second_model_of_noise_gets_no_weight_and_no_praise() -> None:
    found = fusion_report(*two_models(second_helps=False))
    points, weights = found["points"], found["weights_of_second"]
    assert isinstance(points, list)
    assert isinstance(weights, list)
    assert max(weights) <= 0.1
    assert not any(row["better"] for row in points)


def test_no_comparison_has_a_say_in_the_weight_that_judges_it() -> None:
    compared, second = two_models(second_helps=True)
    fused, weights = fused_scores(compared, second)
    # Another truth about the first fold changes how others are judged, never that fold itself.
    flipped = compared.scored.mated.copy()
    flipped[:120] = ~flipped[:120]
    scored = compared.scored
    lied = Compared(
        Scored(scored.scores, flipped, scored.left, scored.right), (), compared.folds, "", None, {}
    )
    again, other_weights = fused_scores(lied, second)
    assert again[:120].tolist() == fused[:120].tolist()
    assert weights[0] == other_weights[0]
    assert again[120:].tolist() != fused[120:].tolist()


# -- capture -----------------------------------------------------------------------------------


@dataclass
class Scripted:
    """Finds what a test says, and embeds by the mean colour."""

    faces: Callable[[Image], Sequence[FaceDetection]] = field(default=lambda _: [])
    contract_id: str = support.CONTRACT

    def detect(self, image: Image) -> Sequence[FaceDetection]:
        return self.faces(image)

    def align(self, image: Image, face: FaceDetection) -> Image:
        return np.asarray(cv2.resize(image, (112, 112)), dtype=np.uint8)

    def embed_aligned(self, crop: Image) -> Embedding:
        colour = crop.reshape(-1, 3).mean(axis=0) + np.array([1.0, 0.0, float(crop[0, 0, 0])])
        return (colour / np.linalg.norm(colour)).astype(np.float32)

    def embed(self, image: Image, face: FaceDetection) -> Embedding:
        return self.embed_aligned(self.align(image, face))


def test_each_picture_is_taken_once_and_a_damaged_one_is_a_failure_to_acquire(
    tmp_path: Path, policy: IdentityPolicy
) -> None:
    pixels, landmarks = support.turning_head(0)
    cv2.imwrite(str(tmp_path / "good.png"), pixels)
    cv2.imwrite(str(tmp_path / "dark.png"), np.zeros_like(pixels))
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    models = Scripted(lambda image: [support.face_at(landmarks)] if image.any() else [])
    capturer = Capturer(
        images=tmp_path, aligned=False, policy=policy, detector=models, embedder=models
    )
    told: list[tuple[int, int]] = []
    names = ("good.png", "dark.png", "bad.png")
    captured = capturer.take_all(names, lambda done, count: told.append((done, count)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [captured.pictures[name].reason for name in names] == [None, "NO_FACE", "IMAGE_REFUSED"]
    assert captured.counter_answers["NO_FACE"] == 1
    assert set(captured.timing_ms) == {"read", "detect", "align", "quality", "embed"}
    assert len(captured.timing_ms["read"]) == 3


def test_pictures_that_are_not_aligned_are_no_aligned_pictures(
    tmp_path: Path, policy: IdentityPolicy
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((112, 112, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((120, 112, 3), 90, np.uint8))
    models = Scripted()
    capturer = Capturer(
        images=tmp_path, aligned=True, policy=policy, detector=models, embedder=models
    )
    found = capturer.take_all(["a.png"], lambda *_: None).pictures["a.png"]
    assert found.embedding is not None
    assert found.quality is not None
    assert "yaw_degrees" not in found.quality
    with pytest.raises(ImageRefused, match="112x120; --aligned takes 112x112 only"):
        capturer.take_all(["b.png"], lambda *_: None)


def test_mirrored_embeddings_are_the_same_for_a_picture_and_its_mirror_image(
    tmp_path: Path, policy: IdentityPolicy
) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (112, 112, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    cv2.imwrite(str(tmp_path / "b.png"), picture[:, ::-1])
    models = Scripted()

    def embeddings(mirrored: bool) -> list[Embedding]:
        capturer = Capturer(
            images=tmp_path,
            aligned=True,
            policy=policy,
            detector=models,
            embedder=models,
            mirrored=mirrored,
        )
        taken = capturer.take_all(["a.png", "b.png"], lambda *_: None).pictures.values()
        return [np.asarray(each.embedding) for each in taken]

    plain, both = embeddings(mirrored=False), embeddings(mirrored=True)
    assert not np.allclose(plain[0], plain[1], atol=1e-4)
    assert np.allclose(both[0], both[1], atol=1e-6)
    assert np.linalg.norm(both[0]) == pytest.approx(1, abs=1e-6)


def test_the_face_around_the_middle_is_the_one_a_label_means() -> None:
    def face(x: float, eyes: float) -> FaceDetection:
        points = (np.array([x, 100.0]) + eyes * support.POINTS).astype(np.float32)
        return FaceDetection((x - eyes, 100 - eyes, 2 * eyes, 2 * eyes), points, 0.9)

    near, middle, far = face(40, 30), face(100, 20), face(180, 10)
    assert labelled_face([near, middle, far], (200, 200)) is middle
    assert labelled_face([near, far], (200, 200)) is near
    assert labelled_face([], (200, 200)) is None


# -- plots -------------------------------------------------------------------------------------


def test_plots_are_svg_and_the_same_for_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, second = two_models(second_helps=True)
    scored = compared.scored
    curves = {"first": scored, "second": Scored(second, scored.mated, scored.left, scored.right)}
    drawn = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        det_plot(curves, folder / "det.svg")
        discard_plot({"sharpness": [[0.0, 0.1], [0.5, 0.0]]}, "title", folder / "edc.svg")
        score_plot(scored, 0.5, folder / "scores.svg")
        drawn.append(
            [(folder / name).read_bytes() for name in ("det.svg", "edc.svg", "scores.svg")]
        )
        # A setting of the user's does not matter either.
        monkeypatch.setitem(mpl.rcParams, "font.size", 20.0)
    assert drawn[0] == drawn[1]
    assert mpl.rcParams["font.size"] == 20.0
    assert all(b"<svg" in content and len(content) < 100_000 for content in drawn[0])
    assert b"false match rate" in drawn[0][0]
    assert b"sharpness" in drawn[0][1]
    assert b"<dc:date>" not in drawn[0][0]
