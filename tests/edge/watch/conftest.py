from __future__ import annotations

import numpy as np
import pytest

from edge.watch import baseline as known_view
from edge.watch.baseline import Baseline
from edge.watch.measures import changes, measured
from tests.edge.watch.pictures_kit import ROLES, View


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def usual() -> dict[str, Baseline]:
    """What was learned of each scene in 24 s, with a picture a second."""
    return {role: learned(View(role)) for role in ROLES}


def learned(view: View, seconds: int = 24) -> Baseline:
    found: Baseline | None = None
    before = None
    for _, grey in view.days(seconds):
        picture = measured(grey)
        if found is None or before is None:
            found = known_view.first(picture)
        else:
            found = known_view.learn(found, picture, 1.0, changes(grey, before))
        before = grey
    assert found is not None
    return found
