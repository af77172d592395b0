"""Projections can be made again at any time and are the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central import days
from central.projector import project_all, reproject
from retention.records import payloads as p
from retention.records.clock import from_text, to_micros
from retention.records.fields import Frozen
from retention.store.log import append
from tests.central.wirekit import TestCentral, TestNode, settle
from tests.golden.samples import SAMPLES, T0, T1, A, B, C

T0_US, T1_US = (to_micros(from_text(text)) for text in (T0, T1))

TABLES = ("sessions", "steps", "flags", "gaps", "coverage_days")


def rows(central: TestCentral) -> dict[str, list[tuple[object, ...]]]:
    with central.database.read() as connection:
        return {
            table: sorted(
                (tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}")),  # noqa: S608
                key=repr,
            )
            for table in TABLES
        }


def summary(start: str, end: str, owed: int, covered: int, **more: object) -> p.CoverageSummarised:
    return p.CoverageSummarised.model_validate(
        {
            "camera": "counter-1", "scene_role": "purchase", "started_at": f"{start}.000000Z",
            "ended_at": f"{end}.000000Z", "owed_ms": owed, "covered_ms": covered,
            "segments": 60, "bytes": 450_000_000, **more,
        }
    )  # fmt: skip


@st.composite
def footage_facts(draw: st.DrawFn) -> Frozen:
    """Gaps opened, closed and told again; summaries in any order, over midnight, told again."""
    gap = {
        "gap": draw(st.sampled_from((A, B, C))), "camera": "counter-1", "scene_role": "purchase",
        "started_at": T0, "cause": draw(st.sampled_from(p.GapCause)),
    }  # fmt: skip
    hour = draw(st.integers(0, 22))
    owed = draw(st.integers(0, 3_600_000))
    return draw(
        st.sampled_from(
            (
                p.GapOpened.model_validate(gap),
                p.GapClosed.model_validate({**gap, "ended_at": T1}),
                summary(f"2026-01-02T{hour:02}:30:00", f"2026-01-02T{hour + 1:02}:30:00", owed, 7),
            )
        )
    )


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(SAMPLES) | footage_facts(), min_size=1, max_size=12))
def test_fresh_projection_equals_the_incremental_one(
    central: TestCentral, node: TestNode, steps: list[Frozen]
) -> None:
    for step in steps:
        with node.store.write() as connection:
            append(node.store, connection, step)
        settle(node, central)
        project_all(central.database)
    before = rows(central)
    reproject(central.database)
    assert rows(central) == before


def test_projecting_again_leaves_nothing_of_what_was_there(
    node: TestNode, central: TestCentral
) -> None:
    add(node, central, *SAMPLES)
    before = rows(central)
    with central.database.write() as connection:
        for table in TABLES:
            connection.exec_driver_sql(f"UPDATE {table} SET node = 'node-z'")  # noqa: S608
    reproject(central.database)
    assert rows(central) == before


def add(node: TestNode, central: TestCentral, *facts: Frozen) -> dict[str, object]:
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


GAP = {"gap": A, "camera": "c", "scene_role": "purchase", "started_at": T0, "cause": "unknown"}
OPENED = p.GapOpened.model_validate(GAP)
CLOSED = p.GapClosed.model_validate({**GAP, "ended_at": T1})


def gaps(central: TestCentral) -> list[tuple[object, ...]]:
    with central.database.read() as connection:
        found = connection.exec_driver_sql("SELECT gap, started_at, ended_at, cause FROM gaps")
        return [tuple(row) for row in found]


def test_gap_is_flagged_until_it_closes(node: TestNode, central: TestCentral) -> None:
    assert add(node, central, OPENED) == {"GAP_OPEN": None}
    assert gaps(central) == [(A, T0_US, None, "unknown")]
    assert add(node, central, CLOSED)["GAP_OPEN"] is not None
    assert gaps(central) == [(A, T0_US, T1_US, "unknown")]


def test_gap_that_was_not_seen_opening_is_a_row_all_the_same(
    node: TestNode, central: TestCentral
) -> None:
    assert add(node, central, CLOSED) == {}
    assert gaps(central) == [(A, T0_US, T1_US, "unknown")]


def test_closed_gap_stays_as_it_was_closed(node: TestNode, central: TestCentral) -> None:
    later = CLOSED.model_copy(update={"ended_at": "2026-01-02T09:00:00.000000Z"})
    found = add(node, central, OPENED, CLOSED, OPENED, later)
    assert found["GAP_OPEN"] is not None
    assert gaps(central) == [(A, T0_US, T1_US, "unknown")]


def test_late_telling_of_a_closed_gap_raises_no_flag(node: TestNode, central: TestCentral) -> None:
    assert add(node, central, OPENED, CLOSED, OPENED)["GAP_OPEN"] is not None


def test_gap_told_open_twice_keeps_its_first_telling(node: TestNode, central: TestCentral) -> None:
    again = OPENED.model_copy(update={"cause": p.GapCause.DISK_FAILED})
    add(node, central, OPENED, again)
    assert gaps(central) == [(A, T0_US, None, "unknown")]


def coverage(central: TestCentral) -> dict[str, tuple[int, ...]]:
    """Return day -> owed, covered, segments, bytes of the one camera."""
    with central.database.read() as connection:
        found = connection.exec_driver_sql(
            "SELECT day, owed_ms, covered_ms, segments, bytes FROM coverage_days ORDER BY day"
        )
        return {row[0]: tuple(row[1:]) for row in found}


def test_time_that_was_told_of_counts_also_where_nothing_is_owed(
    node: TestNode, central: TestCentral
) -> None:
    add(
        node, central,
        summary("2026-01-01T15:00:00", "2026-01-01T16:00:00", 0, 0),
        summary("2026-01-01T16:00:00", "2026-01-01T17:00:00", 600_000, 600_000),
        summary("2026-01-01T16:30:00", "2026-01-01T17:30:00", 0, 0),
    )  # fmt: skip
    with central.database.read() as connection:
        found = connection.exec_driver_sql("SELECT day, told_ms, owed_ms FROM coverage_days")
        assert sorted(map(tuple, found)) == [
            ("2026-01-01", 3_600_000, 0), ("2026-01-02", 5_400_000, 600_000),
        ]  # fmt: skip


def test_summaries_add_up_to_the_day_in_shanghai(node: TestNode, central: TestCentral) -> None:
    add(
        node, central,
        summary("2026-01-01T15:00:00", "2026-01-01T16:00:00", 3_600_000, 3_600_000),
        summary("2026-01-01T16:00:00", "2026-01-01T17:00:00", 3_600_000, 3_000_000),
        summary("2026-01-01T17:00:00", "2026-01-01T18:00:00", 3_600_000, 3_600_000),
    )  # fmt: skip
    assert coverage(central) == {
        "2026-01-01": (3_600_000, 3_600_000, 60, 450_000_000),
        "2026-01-02": (7_200_000, 6_600_000, 120, 900_000_000),
    }


def test_summary_over_midnight_is_split_in_proportion(node: TestNode, central: TestCentral) -> None:
    add(node, central, summary("2026-01-01T15:40:00", "2026-01-01T16:40:00", 3_600_000, 2_999_999))
    assert coverage(central) == {
        "2026-01-01": (1_200_000, 999_999, 20, 150_000_000),
        "2026-01-02": (2_400_000, 2_000_000, 40, 300_000_000),
    }


def test_same_summary_again_changes_nothing(node: TestNode, central: TestCentral) -> None:
    hour = summary("2026-01-01T17:00:00", "2026-01-01T18:00:00", 3_600_000, 1_800_000)
    add(node, central, hour)
    before = rows(central)["coverage_days"]
    add(node, central, hour, hour)
    assert rows(central)["coverage_days"] == before


def test_hour_told_again_after_an_earlier_one_counts_once(
    node: TestNode, central: TestCentral
) -> None:
    late = summary("2026-01-01T17:00:00", "2026-01-01T18:00:00", 3_600_000, 1_800_000)
    early = summary("2026-01-01T16:00:00", "2026-01-01T16:30:00", 1_800_000, 1_800_000)
    add(node, central, late, early, late)
    assert coverage(central)["2026-01-02"] == (3_600_000, 1_800_000, 60, 450_000_000)


def test_only_the_new_part_of_an_overlapping_summary_counts(
    node: TestNode, central: TestCentral
) -> None:
    add(
        node, central,
        summary("2026-01-01T17:00:00", "2026-01-01T18:00:00", 3_600_000, 0),
        summary("2026-01-01T17:30:00", "2026-01-01T18:30:00", 3_600_000, 3_600_000),
    )  # fmt: skip
    assert coverage(central)["2026-01-02"] == (5_400_000, 1_800_000, 90, 675_000_000)


IMPOSSIBLE = {
    "owes more than its span": summary("2026-01-01T17:00:00", "2026-01-01T18:00:00", 3_600_002, 0),
    "covers more than it owes": summary("2026-01-01T17:00:00", "2026-01-01T18:00:00", 5, 6),
    "ends before it begins": summary("2026-01-01T18:00:00", "2026-01-01T17:00:00", 0, 0),
    "has no length": summary("2026-01-01T18:00:00", "2026-01-01T18:00:00", 0, 0),
    "is endless": summary("2026-01-01T17:00:00", "2027-01-01T17:00:00", 5, 5),
    "is of no year": summary("9999-12-31T22:00:00", "9999-12-31T23:00:00", 5, 5),
    "has no calendar": summary("2026-13-01T17:00:00", "2026-13-01T18:00:00", 5, 5),
}


@pytest.mark.parametrize("content", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_summary_that_cannot_be_true_is_flagged_and_counts_nothing(
    node: TestNode, central: TestCentral, content: p.CoverageSummarised
) -> None:
    good = summary("2026-01-01T17:00:00", "2026-01-01T18:00:00", 3_600_000, 3_600_000)
    assert add(node, central, content, good) == {"PAYLOAD_UNREADABLE": None}
    assert list(coverage(central)) == ["2026-01-02"]


def test_gap_at_a_moment_that_no_recording_has_is_flagged(
    node: TestNode, central: TestCentral
) -> None:
    far = OPENED.model_copy(update={"started_at": "9999-12-31T23:00:00.000000Z"})
    assert add(node, central, far) == {"PAYLOAD_UNREADABLE": None}
    assert gaps(central) == []


def test_sums_that_no_column_holds_stop_at_what_it_holds(
    node: TestNode, central: TestCentral
) -> None:
    most = 2**53 - 1
    hours = [
        summary(f"2026-01-02T0{n}:00:00", f"2026-01-02T0{n + 1}:00:00", 5, 5, bytes=most)
        for n in range(3)
    ]
    add(node, central, *hours)
    assert coverage(central)["2026-01-02"] == (15, 15, 180, most)


@given(
    start=st.integers(946_684_800_000_000, 7_000_000_000_000_000),
    length=st.integers(1, 48 * days.HOUR_US),
    amount=st.integers(0, 2**53 - 1),
)
def test_parts_tile_the_span_and_their_portions_add_up(
    start: int, length: int, amount: int
) -> None:
    end = start + length
    parts = list(days.parts_of(start, end))
    assert [(part.start, part.end) for part in parts] == tiles(start, end, parts)
    for part in parts:
        assert part.day == days.day_of(part.start) == days.day_of(part.end - 1)
    portions = [days.portion(amount, part, start, end) for part in parts]
    assert sum(portions) == amount
    assert min(portions) >= 0


def tiles(start: int, end: int, parts: list[days.Part]) -> list[tuple[int, int]]:
    cuts = [start, *(part.end for part in parts)]
    assert cuts[-1] == end
    return list(pairwise(cuts))


def test_day_and_its_bounds_belong_together() -> None:
    start, end = days.bounds_of("2026-01-02")
    assert (days.day_of(start - 1), days.day_of(start)) == ("2026-01-01", "2026-01-02")
    assert (days.day_of(end - 1), days.day_of(end)) == ("2026-01-02", "2026-01-03")


@pytest.mark.parametrize("text", ["2026-02-30", "20260102", "2026-1-2", "1999-12-31", "", "x" * 99])
def test_text_that_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        days.parse_day(text)
