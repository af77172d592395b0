"""What every test may ask for. Simulated parts are welcome here, so they do not warn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeIdentity, NodeStore

pytest_plugins = ("tests.guards", "tests.sharing")
os.environ["COUNTERSIGHT_SIMULATION"] = "1"
hypothesis.settings.register_profile("house", deadline=None)  # speed is no test's business
hypothesis.settings.load_profile("house")

IDENTITY = NodeIdentity(agency="430100", pharmacy="P43010000001", node="node-a")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ids() -> SeededIds:
    return SeededIds()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock, ids: SeededIds) -> Iterator[NodeStore]:
    """A node's database on disk, with a clock and ids that the test controls."""
    opened = NodeStore(tmp_path / "node.sqlite3", IDENTITY, clock, ids)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The pictures and videos that developers have at hand; never needed to pass."""
    if not SHARED.is_dir():
        pytest.skip("../shared (pictures for measuring) is not on this machine")
    return SHARED
