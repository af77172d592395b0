"""A check of the shipped model and threshold against labelled pairs, where they are at hand."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from identity.calibration import load_calibration
from models.opencv import cv2
from models.recognition import ArcFaceEmbedder
from models.runtime import LoadedModels
from models.values import Embedding

PAIRS = 24


@pytest.fixture
def lfw(shared: Path) -> Path:
    folder = shared / "faces" / "lfw"
    if not folder.is_dir():
        pytest.skip("the labelled pairs are not in ../shared/faces/lfw")
    return folder


def test_mated_pairs_pass_the_threshold_and_others_do_not(lfw: Path, loaded: LoadedModels) -> None:
    embedder = loaded.embedder
    assert isinstance(embedder, ArcFaceEmbedder)

    def embedding(name: str, number: str) -> Embedding:
        path = lfw / "images" / name / f"{name}_{int(number):04d}.jpg"
        return embedder.embed_aligned(np.asarray(cv2.imread(str(path)), dtype=np.uint8))

    rows = [line.split("\t") for line in (lfw / "pairs.txt").read_text().splitlines()[1:]]
    mated = [row for row in rows if len(row) == 3][::25][:PAIRS]
    others = [row for row in rows if len(row) == 4][::25][:PAIRS]
    values = load_calibration(embedder.contract_id).values
    threshold = values.threshold(Decimal("1e-4"))
    passed = sum(float(embedding(n, a) @ embedding(n, b)) >= threshold for n, a, b in mated)
    wrong = sum(float(embedding(n, a) @ embedding(m, b)) >= threshold for n, a, m, b in others)
    assert wrong == 0
    assert passed >= 0.93 * len(mated)
