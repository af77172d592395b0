"""A simulated year: nothing goes before its floor, everything due goes after it, and the daily work
does not grow with what is kept."""

from __future__ import annotations

import json
import random
import statistics
import time
from datetime import timedelta
from pathlib import Path

import pytest

from retention.check import Depth, Options, check
from retention.footage.sweep import sweep
from retention.store.proofs import LogTree
from tests.retention.year import (
    BEGAN,
    CLOSED,
    DAY,
    FLOOR_DAYS,
    HELD_CAMERA,
    HELD_DAY,
    Year,
)

DAYS = FLOOR_DAYS + 20
FILES_DAYS = 22
SHORT_A_DAY, FULL_A_DAY = 4, 14 * 60
SAMPLES = 300
WATCHED_FROM = DAYS - 4
MOST_STEPS = 1_000
"""What one statement of a daily pass may cost, whatever the index holds: reading all of a small
year's segments costs thirty times as much."""
BY_DAY = (" intake", " runs")
"""Tables that have a row a day, of which one may be read whole."""
ALL_FILES_EVERY = 20
"""Days between two looks at every file; those about their floor are looked at every day."""


def run(year: Year) -> None:
    """Live for more than the policy asks; every evening the disk is what it must be."""
    gone: set[Path] = set()

    def look(day: int) -> None:
        if day == WATCHED_FROM:
            year.watch_statements()
        due_from = BEGAN + (day + 1) * DAY - timedelta(days=FLOOR_DAYS)
        for made in year.files:
            about = abs(made.ended_at - due_from) < 4 * DAY
            if made.path in gone or not (about or day % ALL_FILES_EVERY == 0 or day == DAYS - 1):
                continue
            there = made.path.exists()
            held = made.day == HELD_DAY and made.camera == HELD_CAMERA
            if held or made.ended_at >= due_from:  # trusted time comes once a day
                assert there, f"day {day}: {made.path.name} of day {made.day} went early"
            elif made.ended_at < due_from - 2 * DAY:
                assert not there, f"day {day}: {made.path.name} of day {made.day} is still there"
            if not there:
                gone.add(made.path)

    year.live(DAYS, look)
    assert year.disposed == len(gone) > 0


def judge(year: Year) -> None:
    now = BEGAN + DAYS * DAY
    report = check(year.data, Depth.ROWS, Options(now=now))
    assert report.bad == []
    assert report.counts["disposed"] == year.disposed
    assert report.counts["segments"] == year.segments - year.disposed


def test_a_small_year_keeps_and_disposes_as_it_must_and_stays_flat(tmp_path: Path) -> None:
    year = Year(tmp_path / "year", SHORT_A_DAY, FILES_DAYS)
    try:
        run(year)
        judge(year)
        early = statistics.median(year.idle.steps[20:60])
        late = statistics.median(year.idle.steps[300:360])
        assert late < 2 * early + 500
        size = year.log_size()
        chosen = random.Random(1)
        young, _ = year.look_up([chosen.randrange(size // 10) for _ in range(SAMPLES)])
        whole, _ = year.look_up([chosen.randrange(size) for _ in range(SAMPLES)])
        assert whole < 2 * young + 500
        sweep(year.store, year.root, lambda: None)
        assert {
            statement: steps
            for statement, steps in year.dearest.items()
            if steps > MOST_STEPS and not any(table in statement for table in BY_DAY)
        } == {}
        closed = [made for made in year.files if CLOSED[0] <= made.day < CLOSED[1]]
        assert closed == []
    finally:
        year.close()


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_full_year_stays_as_flat_as_a_small_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """About a million segments: the steps of a daily pass, of the forecast and of a challenge's
    look-ups are those of a year two hundred times smaller."""
    small, full = (
        Year(tmp_path / "small", SHORT_A_DAY, FILES_DAYS),
        Year(tmp_path / "full", FULL_A_DAY, FILES_DAYS),
    )
    try:
        run(small)
        began = time.perf_counter()
        run(full)
        took = time.perf_counter() - began
        figures = measured(full) | {"seconds": round(took)}
        with capsys.disabled():
            print("\n" + json.dumps(figures))
            print(json.dumps(measured(small)))
        for name in ("idle", "forecast"):
            few, many = (
                statistics.median(getattr(year, name).steps[-20:]) for year in (small, full)
            )
            assert many < 2 * few + 500, name
        few, many = (statistics.median(year.disposing.steps) for year in (small, full))
        assert many < 2 * few + 500
        began = time.perf_counter()
        judge(full)
        with capsys.disabled():
            print(json.dumps({"check_rows_seconds": round(time.perf_counter() - began, 1)}))
    finally:
        small.close()
        full.close()


def measured(year: Year) -> dict[str, object]:
    size = year.log_size()
    chosen = random.Random(1)
    steps, looked_up = year.look_up([chosen.randrange(size) for _ in range(SAMPLES)])
    began = time.perf_counter()
    with year.store.read() as connection:
        tree = LogTree(connection, size)
        for _ in range(SAMPLES):
            tree.inclusion(chosen.randrange(size))
    proving = time.perf_counter() - began
    return {
        "segments": year.segments,
        "disposed": year.disposed,
        "records": size,
        "idle_pass_ms": round(statistics.median(year.idle.milliseconds), 2),
        "idle_pass_ms_p95": round(statistics.quantiles(year.idle.milliseconds, n=20)[-1], 2),
        "idle_pass_steps": statistics.median(year.idle.steps),
        "disposal_ms_a_segment": round(statistics.median(year.disposing.milliseconds), 3),
        "disposal_steps_a_segment": statistics.median(year.disposing.steps),
        "forecast_ms_day_30": round(year.forecast.milliseconds[3], 2),
        "forecast_ms_last_day": round(year.forecast.milliseconds[-1], 2),
        "forecast_steps_last_day": year.forecast.steps[-1],
        "look_up_300_ms": round(looked_up, 2),
        "look_up_300_steps": steps,
        "prove_300_ms": round(proving * 1000),
    }
