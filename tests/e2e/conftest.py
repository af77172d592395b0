"""One running demo stack for all end-to-end tests of a session; starting one takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.simulators.demo_config import DemoTimes
from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PATIENT, PharmacyClient
from hardware.simulated_actors import Genuine
from hardware.simulated_people import PeopleMissing, load_people


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoStack]:
    try:
        load_people()
    except PeopleMissing as exc:
        pytest.skip(str(exc))
    made = DemoStack(
        tmp_path_factory.mktemp("crash"), times=DemoTimes(segment=4, roll=1, checkpoint=2)
    )
    try:
        made.start()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def client(stack: DemoStack) -> Iterator[PharmacyClient]:
    with stack.pharmacy() as paired:
        consent = paired.consent(PATIENT)["consent"]
        paired.enrol(consent, PATIENT, load_people().path("person-a", 1).read_bytes())
        stack.cameras.control("counter").show(Genuine("person-a", 2))
        yield paired
