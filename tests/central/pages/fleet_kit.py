"""Nodes, their status, their coverage and their gaps, put into central's database as they would lie
there; what the tests of the pages of nodes and coverage look at."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from sqlalchemy import insert, update

from central.days import DAY_US, bounds_of
from central.tables import CoverageDay, Gap, Node, table_of
from retention.records.clock import from_micros, to_text
from tests.central.wirekit import TestCentral

NODES, DAYS, GAPS = table_of(Node), table_of(CoverageDay), table_of(Gap)
SCENES = {"counter": "purchase", "rx-desk": "prescription", "shelf": "dispensing"}
DAY_MS = DAY_US // 1000
SECOND = 1_000_000


def now_of(central: TestCentral) -> int:
    from retention.records.clock import to_micros

    return to_micros(central.clock.now())


def add_node(
    central: TestCentral, node: str, pharmacy: str = "P43010000002", **values: object
) -> None:
    """Enrol a node; `values` overwrite columns of its row."""
    with central.database.write() as connection:
        connection.execute(
            insert(NODES).values(
                agency="430100", pharmacy=pharmacy, node=node,
                curve_key=f"{abs(hash(node)):040d}"[:40], signing_key="d" * 64,
                enrolled_at=now_of(central) - 90 * DAY_US, expected_sent=0, last_sequence=-1,
                tree_size=0, tree_sent=0, frontier=b"", projected_sent=0,
            )
        )  # fmt: skip
        if values:
            connection.execute(update(NODES).where(NODES.c.node == node).values(**values))


def status(at: int, **changes: Any) -> str:
    """Return a status as the collector stores it; all is well unless changed."""
    value: dict[str, Any] = {
        "occurred_at": to_text(from_micros(at)), "clock_state": "steady",
        "cameras": [
            {"camera": camera, "scene_role": role, "state": "recording",
             "last_sealed_at": to_text(from_micros(at - 20 * SECOND)), "simulated": True}
            for camera, role in SCENES.items()
        ],
        "disk_free_bytes": 4_000 * 10**9, "bytes_per_day": 10 * 10**9, "backlog": 0,
        "oldest_unsent_at": None,
    }  # fmt: skip
    return json.dumps({**value, **changes})


def tell(central: TestCentral, node: str, seconds_ago: int = 5, **changes: Any) -> None:
    """Give a node a status that came `seconds_ago`; `offset_ms` is how wrong its clock is."""
    received = now_of(central) - seconds_ago * SECOND
    offset = changes.pop("offset_ms", 0) * 1000
    with central.database.write() as connection:
        connection.execute(
            update(NODES)
            .where(NODES.c.node == node)
            .values(
                status=status(received + offset, **changes),
                status_received_at=received,
                last_seen=received,
            )
        )


def cover(
    central: TestCentral,
    node: str,
    day: str,
    *,
    camera: str = "counter",
    owed_ms: int = DAY_MS,
    missing_ms: int = 0,
    known_until: int | None = None,
    pharmacy: str = "P43010000001",
) -> None:
    """Put one camera's day; whole unless something is missing."""
    with central.database.write() as connection:
        connection.execute(
            insert(DAYS).values(
                agency="430100", pharmacy=pharmacy, node=node, camera=camera, day=day,
                scene_role=SCENES.get(camera, "purchase"),
                known_until=bounds_of(day)[1] if known_until is None else known_until,
                told_ms=owed_ms, owed_ms=owed_ms, covered_ms=owed_ms - missing_ms,
                segments=1440, bytes=10**9,
            )
        )  # fmt: skip


def add_gap(
    central: TestCentral,
    node: str,
    number: int,
    start: int,
    end: int | None,
    *,
    camera: str = "counter",
    cause: str = "camera_unreachable",
) -> None:
    with central.database.write() as connection:
        connection.execute(
            insert(GAPS).values(
                agency="430100", pharmacy="P43010000001", node=node,
                gap=f"01900000-0000-7000-8000-{number:012d}", camera=camera,
                scene_role=SCENES.get(camera, "purchase"), started_at=start, ended_at=end,
                cause=cause,
            )
        )  # fmt: skip


def days_before(day: str, count: int) -> list[str]:
    """Return `count` days that end the day before `day`."""
    last = date.fromisoformat(day)
    return [(last - timedelta(days=count - n)).isoformat() for n in range(count)]
