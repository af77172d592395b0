"""A central in memory and a node that talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.central.wirekit import TestCentral, TestNode


@pytest.fixture
def central(tmp_path: Path) -> Iterator[TestCentral]:
    made = TestCentral(tmp_path)
    made.enrol()
    yield made
    made.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    made = TestNode(tmp_path)
    yield made
    made.close()
