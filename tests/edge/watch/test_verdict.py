"""Both kinds of error, on drawn scenes: what must be told, and what must not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edge.watch.baseline import first, learn
from edge.watch.measures import changes, measured
from edge.watch.verdict import judge
from tests.edge.watch.pictures_kit import (
    ROLES,
    View,
    blurred,
    covered,
    lit,
    lit_from_the_side,
    person,
)

LIVE = np.full((48, 64), 50, np.float32)  # everything changed since the picture before


@pytest.fixture(params=ROLES)
def role(request) -> str:
    return request.param


@pytest.fixture
def view(role) -> View:
    return View(role, seed=1)


def condition(grey, baseline, changed=LIVE) -> str:
    return judge(measured(grey), changed, baseline).condition


# -- what must be told ----------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.0, 0.03, 0.05])
def test_no_light_is_black(view, role, usual, gain):
    dark = view.filmed(lit(view.scene(30), gain), 30)
    assert condition(dark, usual[role]) == "black"
    assert condition(dark, None) == "black"  # before anything was learned


@pytest.mark.parametrize("sigma", [4, 6, 10])
def test_lost_focus_is_told_though_noise_is_as_before(view, role, usual, sigma):
    seen = view.filmed(blurred(View(role, noise=0).at(30), sigma), 30)
    limit = 6 if role == "purchase" else 4  # its shelves are drawn soft
    told = condition(seen, usual[role])
    assert told == ("out_of_focus" if sigma >= limit else "clear")


@pytest.mark.parametrize("level", [25, 120, 220])
def test_something_before_the_lens_is_told(view, role, usual, random, level):
    assert condition(covered(view.at(30), 1.0, level, random), usual[role]) == "covered"
    assert condition(covered(view.at(30), 1.0, level, random), None) == "covered"


@pytest.mark.parametrize("across", [0.08, 0.15])
def test_camera_that_was_turned_aside_is_told(view, role, usual, across):
    told = condition(view.at(30, across=across, down=across / 2), usual[role])
    assert told in {"moved", "covered"}
    if role == "purchase":  # where everything has lines, it is called by its name
        assert told == "moved"


@pytest.mark.parametrize("degrees", [15, -20, 90])
def test_camera_that_was_tilted_is_told(view, role, usual, degrees):
    assert condition(view.at(30, degrees=degrees), usual[role]) in {"moved", "covered"}


def test_same_picture_again_is_frozen(view, role, usual):
    grey = view.at(30)
    assert condition(grey, usual[role], changes(grey, grey)) == "frozen"
    assert condition(grey, None, changes(grey, grey)) == "frozen"


def test_same_picture_coded_again_is_frozen_when_the_clock_stopped(view, role, usual):
    """The sensor's noise stands for what coding does to a picture that is the same."""
    scene = view.scene(30)
    coded = [view.filmed(scene, 30) for _ in range(2)]
    changed = changes(*coded)
    assert 0.5 < changed.max() < 6
    assert condition(coded[1], usual[role], changed) == "frozen"
    assert condition(coded[1], None, changed) == "clear"  # the clock is not known yet


# -- what must not be told ------------------------------------------------------------------------


def test_usual_view_is_clear_at_any_moment(view, role, usual):
    pictures = [view.at(float(t)) for t in range(30, 50)]
    assert {condition(grey, usual[role]) for grey in pictures} == {"clear"}
    for before, grey in pairwise(pictures):
        assert condition(grey, usual[role], changes(grey, before)) == "clear"


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("width", [0.2, 0.4, 0.7])
def test_somebody_who_walks_through_is_no_fault(view, role, usual, random, width, plain):
    for place in (0.0, 0.25, 0.5, 0.75, 1.0):
        grey = person(view.at(30), place, width, random, plain=plain)
        assert condition(grey, usual[role]) == "clear", place


@pytest.mark.parametrize(("gain", "gamma"), [(0.3, 1), (0.15, 1), (1.4, 1), (1, 2), (1, 0.5)])
def test_light_switched_up_or_down_is_no_fault(view, role, usual, gain, gamma):
    seen = view.filmed(lit(View(role, noise=0).at(30), gain, gamma), 30)
    assert condition(seen, usual[role]) == "clear"


def test_sun_from_one_side_is_no_fault(view, role, usual):
    assert condition(lit_from_the_side(view.at(30), 0.6), usual[role]) == "clear"


@pytest.mark.parametrize("noise", [4, 8, 15])
def test_noise_of_a_dark_hour_is_no_fault(role, usual, noise):
    assert condition(View(role, noise=noise).at(30), usual[role]) == "clear"


def test_still_scene_without_a_clock_is_not_frozen_for_its_noise(role):
    view, known = View(role, noise=1.0), None
    scene = view.scene(30)
    before = view.filmed(scene, 30)
    for _ in range(20):
        grey = view.filmed(scene, 30)  # nothing moves, not even its clock
        changed = changes(grey, before)
        assert condition(grey, known, changed) == "clear"
        picture = measured(grey)
        known = first(picture) if known is None else learn(known, picture, 1.0, changed)
        before = grey
    assert not known.lively.any()


def test_slip_of_a_hundredth_is_no_fault(view, role, usual):
    assert condition(view.at(30, across=0.01), usual[role]) == "clear"


# -- margins --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["purchase"])
def test_condition_that_stands_is_left_only_beyond_a_margin(view):
    dim = measured(view.filmed(lit(view.scene(30), 0.115), 30))
    assert 20 < dim.light < 28
    assert judge(dim, LIVE, None).condition == "clear"
    assert judge(dim, LIVE, None, "black").condition == "black"
