from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retention.records.ids import SeededIds
from retention.store.database import NodeStore
from tests.conftest import IDENTITY
from tests.retention.keeping_kit import Node, RealClock


@pytest.fixture
def machine() -> RealClock:
    """A machine's clocks, on a plain morning."""
    return RealClock(datetime(2026, 3, 2, 1, 0, tzinfo=UTC))


@pytest.fixture
def node(tmp_path: Path, machine: RealClock) -> Iterator[Node]:
    """A node without central; its data folder is `tmp_path`."""
    store = NodeStore(tmp_path / "node.sqlite3", IDENTITY, machine, SeededIds())
    made = Node(store, tmp_path / "footage", machine)
    made.tick()
    yield made
    store.close()
