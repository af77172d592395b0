"""Projections can be made again at any time and are the same."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.projector import project_all, reproject
from retention.records import payloads as p
from retention.store.log import append
from tests.central.wirekit import TestCentral, TestNode, settle
from tests.golden.samples import SAMPLES, T0, T1, A

TABLES = ("sessions", "steps", "flags")


def rows(central: TestCentral) -> dict[str, list[tuple[object, ...]]]:
    with central.database.read() as connection:
        return {
            table: sorted(
                (tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")),  # noqa: S608
                key=repr,
            )
            for table in TABLES
        }


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=12))
def test_fresh_projection_equals_the_incremental_one(
    central: TestCentral, node: TestNode, steps: list[p.Frozen]
) -> None:
    for step in steps:
        with node.store.write() as connection:
            append(node.store, connection, step)
        settle(node, central)
        project_all(central.database)
    before = rows(central)
    reproject(central.database)
    assert rows(central) == before


def add(node: TestNode, central: TestCentral, *facts: p.Frozen) -> dict[str, object]:
    """Append facts, project them, and return flag code -> cleared_at."""
    with node.store.write() as connection:
        for fact in facts:
            append(node.store, connection, fact)
    settle(node, central)
    project_all(central.database)
    with central.database.read() as connection:
        found = connection.exec_driver_sql("SELECT code, cleared_at FROM flags")
        return {row[0]: row[1] for row in found}


def concluded(outcome: str) -> p.SettlementConcluded:
    return p.SettlementConcluded.model_validate(
        {
            "session": A, "authorisation": A, "idempotency_key": "d" * 64, "mode": "node",
            "outcome": outcome, "setl_id": None, "reason": None,
        }
    )  # fmt: skip


def test_unknown_settlement_is_flagged_until_it_is_reversed(
    node: TestNode, central: TestCentral
) -> None:
    assert add(node, central, concluded("unknown")) == {"SETTLEMENT_UNKNOWN": None}
    assert add(node, central, concluded("reversed"))["SETTLEMENT_UNKNOWN"] is not None


def test_moment_that_no_calendar_has_is_flagged_and_stops_nothing(
    node: TestNode, central: TestCentral
) -> None:
    closed = next(sample for sample in SAMPLES if isinstance(sample, p.SessionClosed))
    unreal = closed.model_copy(update={"closed_at": "2026-13-32T25:61:61.000000Z"})
    found = add(node, central, unreal, concluded("unknown"))
    assert found == {"PAYLOAD_UNREADABLE": None, "SETTLEMENT_UNKNOWN": None}


def test_gap_is_flagged_until_it_closes(node: TestNode, central: TestCentral) -> None:
    gap = {"gap": A, "camera": "c", "scene_role": "purchase", "started_at": T0, "cause": "unknown"}
    assert add(node, central, p.GapOpened.model_validate(gap)) == {"GAP_OPEN": None}
    closed = p.GapClosed.model_validate({**gap, "ended_at": T1})
    assert add(node, central, closed)["GAP_OPEN"] is not None
