"""What every test may ask for. Simulated parts are welcome here, so they do not warn."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.simulators.demo_config import DemoTimes
from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PATIENT, PharmacyClient
from hardware.errors import PeopleMissing
from hardware.simulated_actors import Genuine
from hardware.simulated_people import load_people
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeIdentity, NodeStore

os.environ["COUNTERSIGHT_SIMULATION"] = "1"

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


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoStack]:
    """One running demo for all end-to-end and browser tests; starting one takes seconds.

    Whoever stops a part starts it again, and enrols no second node: the crash tests compare the
    one node with all that central holds.
    """
    try:
        load_people()
    except PeopleMissing as exc:
        pytest.skip(str(exc))
    made = DemoStack(
        tmp_path_factory.mktemp("stack"), times=DemoTimes(segment=4, roll=1, checkpoint=2)
    )
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def client(stack: DemoStack) -> Iterator[PharmacyClient]:
    """A paired pharmacy system; the insured person is enrolled and stands at the counter."""
    with stack.pharmacy() as paired:
        consent = paired.consent(PATIENT)["consent"]
        paired.enrol(consent, PATIENT, load_people().path("person-a", 1).read_bytes())
        stack.cameras.control("counter").show(Genuine("person-a", 2))
        yield paired
