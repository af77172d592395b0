"""The passive models on the two sample pictures of ../shared, one live and one an attack."""

from __future__ import annotations

import numpy as np
import pytest

from identity.policy import load_policy
from models.opencv import cv2
from tests.identity.attacks.measure import SHARED, models

SAMPLES = SHARED / "faces" / "attack_samples"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared has no faces/attack_samples")
@pytest.mark.parametrize(("name", "live"), [("image_T1.jpg", True), ("image_F1.jpg", False)])
def test_the_passive_models_judge_the_samples_right(name: str, live: bool) -> None:
    loaded = models()
    if loaded.passive is None:
        pytest.skip("../shared has no passive models and none are installed")
    read = cv2.imread(str(SAMPLES / name), cv2.IMREAD_COLOR)
    assert read is not None
    image = np.asarray(read, dtype=np.uint8)
    face = loaded.detector.detect(image)[0]
    probability = loaded.passive.live_probability(loaded.passive.crops(image, face))
    assert (probability >= float(load_policy().liveness.min_live_probability)) is live
