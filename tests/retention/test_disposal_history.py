"""Any history of a node: whatever its clocks, its central, its policies, holds, restarts and
tombstones do, nothing goes before it was really kept as long as it was promised."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from retention.records.clock import EPOCH
from retention.records.ids import SeededIds
from retention.records.keeping import HoldReleased
from retention.store import holds
from retention.store.database import NodeStore
from tests.conftest import IDENTITY
from tests.retention.keeping_kit import DAY, Node, RealClock

START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
FLOOR, LEAST_YEAR = 366 * DAY, 365 * DAY
SMALL = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@dataclass(frozen=True)
class Made:
    """A segment as it really was: when it was made, and the session it belongs to."""

    path: str
    made_at: datetime
    session: str


class Life(RuleBasedStateMachine):
    """`clock.real` is the truth, which no part of the node can see."""

    @initialize(central=st.booleans(), wrong_by=st.sampled_from([0, 0, -800, 800]))
    def begin(self, central: bool, wrong_by: int) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="countersight-life-"))
        self.clock = RealClock(START + wrong_by * DAY)
        self.clock.real = START
        self.seeds = 0
        self.segments: dict[str, Made] = {}
        self.promised: list[tuple[datetime, int]] = []
        self.held: dict[str, str | None] = {}
        self.node: Node | None = None
        self.open(central)

    def open(self, central: bool) -> None:
        self.seeds += 1
        store = NodeStore(
            self.data / "node.sqlite3", IDENTITY, self.clock, SeededIds(self.seeds * 1000)
        )
        self.node = Node(
            store, self.data / "footage", self.clock, central, SeededIds(self.seeds * 1000 + 1)
        )
        self.node.tick()

    def teardown(self) -> None:
        if self.node is not None:
            self.node.store.close()
            shutil.rmtree(self.data)

    # -- time -------------------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 14, 24, 24 * 40, 24 * 200, 24 * 367, 24 * 800]))
    def run(self, hours: int) -> None:
        self.node.advance(timedelta(hours=hours))

    @rule(days=st.sampled_from([-3000, -40, -1, 1, 40, 400, 3000]))
    def jump(self, days: int) -> None:
        if START - 10_000 * DAY < self.clock.now() + days * DAY < START + 20_000 * DAY:
            self.clock.jump(days * DAY)

    @rule(
        days=st.sampled_from([0, 1, 100, 400]),
        comes_up=st.sampled_from(["right", "1970", "where it stopped", "years ahead"]),
    )
    def reboot(self, days: int, comes_up: str) -> None:
        wall = {
            "right": None,
            "1970": EPOCH,
            "where it stopped": self.clock.now(),
            "years ahead": self.clock.real + 1000 * DAY,
        }[comes_up]
        self.clock.reboot(after=days * DAY, wall=wall)
        self.node.tick()

    @rule(
        days=st.sampled_from([0, 1, 100, 800]),
        comes_up=st.sampled_from(["1970", "where it stopped", "years ahead"]),
        hours=st.sampled_from([0, 3, 30]),
    )
    def records_in_a_wrong_time(self, days: int, comes_up: str, hours: int) -> None:
        """What goes wrong in one: up with a wrong clock, recording, and only then set right."""
        self.reboot(days, comes_up)
        self.record()
        self.run(hours)
        self.clock.correct()
        if self.node.central:
            self.central_speaks()
        self.reboot(0, "right")
        self.dispose()

    @rule()
    def time_server_answers(self) -> None:
        self.clock.correct()

    @precondition(lambda self: self.node.central)
    @rule()
    def central_speaks(self) -> None:
        self.node.hear_central(at=self.clock.real)

    @rule(central=st.booleans())
    def configuration_names_a_central_or_none(self, central: bool) -> None:
        self.node.central = central

    @rule()
    def processes_restart(self) -> None:
        self.node.store.close()
        self.clock.reboot(wall=self.clock.now())
        self.open(self.node.central)

    # -- what is kept, and why --------------------------------------------------------------------

    @rule()
    def record(self) -> None:
        session = self.node.serve()
        row = self.node.seal()
        self.segments[row.id] = Made(row.path, self.clock.real, session)

    @rule(years=st.integers(0, 4))
    def adopt(self, years: int) -> None:
        self.node.promise(years, version=len(self.promised) + 1)
        self.promised.append((self.clock.real, years))

    @rule()
    def hold_everything(self) -> None:
        self.held[self.node.hold("pharmacy")] = None

    @precondition(lambda self: self.segments)
    @rule(data=st.data())
    def hold_session(self, data: st.DataObject) -> None:
        one = self.segments[data.draw(st.sampled_from(sorted(self.segments)))]
        self.held[self.node.hold("session", session=one.session)] = one.session

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        hold, _ = self.held.popitem()
        released = HoldReleased(hold=hold, authority="inspector", author="i", reason="over")
        with self.node.store.write() as connection:
            holds.release(self.node.store, connection, released)

    # -- disposal ---------------------------------------------------------------------------------

    @rule()
    def tombstones_appear(self) -> None:
        """A crash in disposal, or somebody with the database, leaves tombstones."""
        self.node.forge("UPDATE segments SET state = 'tombstoned'")

    @rule()
    def dispose(self) -> None:
        self.node.dispose()
        left = set(self.node.segments())
        for segment in [one for one in self.segments if one not in left]:
            self.judge(self.segments.pop(segment))

    def judge(self, gone: Made) -> None:
        kept_for = self.clock.real - gone.made_at
        assert kept_for >= FLOOR
        assert None not in self.held.values()
        assert gone.session not in self.held.values()
        for number, (_, years) in enumerate(self.promised):
            replaced = self.promised[number + 1 :]
            if not replaced or replaced[0][0] > gone.made_at:
                assert kept_for >= years * LEAST_YEAR

    @invariant()
    def everything_else_is_there(self) -> None:
        if self.node is not None:
            assert {one.path for one in self.segments.values()} == set(self.node.files())


TestLife = pytest.mark.timeout(300)(Life.TestCase)
TestLife.settings = settings(max_examples=25, stateful_step_count=25, **SMALL)


@pytest.mark.soak
class TestManyLives(Life.TestCase):
    settings = settings(max_examples=1500, stateful_step_count=50, **SMALL)


def test_central_that_is_taken_out_at_the_worst_moment_takes_no_footage_along():
    """Off for years, recording with a clock that stood still; central's answer to the checkpoint
    from just before moves time on, and nothing will ever countersign what was recorded."""
    life = Life()
    life.begin(central=True, wrong_by=0)
    life.central_speaks()
    life.reboot(800, "where it stopped")
    answer = life.node.ask_central()
    life.record()
    life.run(hours=3)
    life.clock.correct()
    answer(life.clock.real)
    life.configuration_names_a_central_or_none(central=False)
    life.reboot(0, "right")
    life.dispose()
    assert len(life.segments) == 1
    life.run(hours=24 * 367)
    life.dispose()
    assert life.segments == {}
    life.teardown()


def test_such_a_history_does_dispose_of_things():
    """A judge that never sees a disposal would find nothing."""
    life = Life()
    life.begin(central=True, wrong_by=0)
    life.central_speaks()
    life.record()
    life.run(hours=2)
    life.central_speaks()
    life.run(hours=24 * 367)
    life.dispose()
    assert life.segments == {}
    life.teardown()
