from __future__ import annotations

import numpy as np
import pytest

from edge.watch import baseline as known_view
from edge.watch.baseline import LEARNING_PICTURES, learn
from edge.watch.measures import changes, measured
from edge.watch.verdict import judge
from tests.edge.watch.conftest import learned
from tests.edge.watch.pictures_kit import View, covered, lit

LIVE = np.full((48, 64), 50, np.float32)


def test_what_was_learned_survives_its_file(usual, tmp_path):
    path = tmp_path / "usual.npz"
    path.write_bytes(known_view.to_bytes(usual["dispensing"]))
    found = known_view.read(path)
    assert found is not None
    assert found.pictures == usual["dispensing"].pictures
    assert (found.lively == usual["dispensing"].lively).all()
    assert (found.cells == usual["dispensing"].cells).all()
    turned = measured(View("dispensing").at(30, across=0.08, down=0.04))
    before, after = (judge(turned, LIVE, one) for one in (usual["dispensing"], found))
    assert (after.condition, after.value) == ("moved", pytest.approx(before.value, abs=0.01))


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04 torn", b"\x93NUMPY", b"x" * 3_000_000])
def test_file_that_cannot_be_read_is_learned_again(tmp_path, broken):
    path = tmp_path / "usual.npz"
    path.write_bytes(broken)
    assert known_view.read(path) is None
    assert known_view.read(tmp_path / "none") is None


def test_file_with_other_numbers_is_learned_again(usual, tmp_path):
    path = tmp_path / "usual.npz"
    for small, steady in (((240, 321), (12, 16)), ((240, 320), (12, 15))):
        np.savez_compressed(
            path,
            pictures=np.array(20),
            changed=np.zeros((48, 64), np.float32),
            small=np.zeros(small, np.float16),
            energy=np.zeros((12, 16), np.float32),
            detail=np.zeros((12, 16), np.float32),
            steady=np.zeros(steady, np.float32),
        )
        assert known_view.read(path) is None


def test_nothing_is_judged_by_a_view_that_is_not_known_yet():
    view = View("purchase")
    early = learned(view, LEARNING_PICTURES - 1)
    assert not early.tells
    assert judge(measured(view.at(30, across=0.3)), LIVE, early).condition == "clear"
    assert learned(View("purchase"), LEARNING_PICTURES).tells


def test_what_moves_all_the_time_counts_for_nothing(random):
    view, found, before = View("purchase"), None, None
    for t, grey in view.days(16):
        grey[:, 320:] = random.integers(0, 255, (480, 320), np.uint8) if t % 2 else 90
        picture = measured(grey)
        if found is None or before is None:
            found = known_view.first(picture)
        else:
            found = learn(found, picture, 1.0, changes(grey, before))
        before = grey
    assert found is not None
    assert found.cells[:, :7].mean() > 0.9
    assert found.cells[:, 9:].mean() < 0.1


def test_usual_view_follows_the_light_within_minutes(usual):
    known = usual["purchase"]
    for second in range(60):
        dusk = lit(View("purchase").at(30.0 + second), 0.5)
        known = learn(known, measured(dusk), 10.0, LIVE)
    assert known.usual.light < 0.75 * usual["purchase"].usual.light


def test_somebody_who_stays_is_not_the_usual_view_at_once(usual, random):
    known = usual["dispensing"]
    hidden = measured(covered(View("dispensing").at(30), 0.5, 120, random))
    for _ in range(30):
        known = learn(known, hidden, 1.0, LIVE)
    assert judge(measured(View("dispensing").at(60)), LIVE, known).condition == "clear"
