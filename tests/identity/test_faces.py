"""One dominant face, or an answer that says why not; never a choice among several."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.faces import dominant
from identity.policy import load_policy
from models.values import FaceDetection
from tests.identity.support import POINTS

FACES = load_policy().faces
SIZE = (640, 480)


def at(x: float, y: float, eyes: float) -> FaceDetection:
    points = (np.array([x, y]) + eyes * POINTS).astype(np.float32)
    return FaceDetection((x - eyes, y - eyes, 2 * eyes, 2.6 * eyes), points, 0.9)


MIDDLE, LEFT_EDGE = at(320, 200, 90), at(30, 200, 90)


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        ([], "NO_FACE"),
        ([at(320, 200, 19)], "NO_FACE"),
        ([at(np.nan, 200, 90)], "NO_FACE"),
        ([MIDDLE], MIDDLE),
        # Alone outside of the zone: the quality gate says how to stand.
        ([LEFT_EDGE], LEFT_EDGE),
        # A companion behind, further away than twice, is passed over wherever they are.
        ([MIDDLE, at(520, 160, 44)], MIDDLE),
        ([at(620, 160, 44), MIDDLE], MIDDLE),
        ([MIDDLE, at(520, 160, 46)], "MULTIPLE_FACES"),
        ([MIDDLE, at(320, 160, 90)], "MULTIPLE_FACES"),
        # The nearest is outside of the zone, so nobody is chosen.
        ([LEFT_EDGE, at(320, 200, 40)], "MULTIPLE_FACES"),
        # What is too small to count is not looked at, not even for company.
        ([LEFT_EDGE, at(320, 200, 19)], LEFT_EDGE),
        ([MIDDLE, at(np.nan, 200, 80)], MIDDLE),
    ],
)
def test_company_is_passed_over_only_behind_one_who_stands_in_the_zone(
    found: list[FaceDetection], answer: FaceDetection | str
) -> None:
    assert dominant(found, FACES, SIZE) is answer or dominant(found, FACES, SIZE) == answer


FOUND = st.lists(
    st.builds(at, st.floats(-50, 700), st.floats(-50, 500), st.floats(0, 300)), max_size=5
)


@given(found=FOUND, order=st.randoms())
def test_the_answer_does_not_depend_on_the_order_and_is_never_one_of_two_alike(
    found: list[FaceDetection], order: object
) -> None:
    mixed = list(found)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = dominant(found, FACES, SIZE), dominant(mixed, FACES, SIZE)
    assert one is other or one == other
    if isinstance(one, FaceDetection):
        rivals = [face for face in found if face is not one and face.inter_eye_px >= 20]
        assert all(face.inter_eye_px < 0.5 * one.inter_eye_px for face in rivals)
