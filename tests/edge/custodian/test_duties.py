from __future__ import annotations

from datetime import timedelta
from unittest.mock import Mock

import pytest

from edge.config import CameraConfig, EdgeConfig, NodeConfig, VerificationConfig
from edge.custodian.duties import Duty, Rota
from edge.custodian.keeping import Keeping
from edge.custodian.process import Custodian, SealAsker, duties_of
from retention.footage.sink import DirectorySyncFailed
from retention.records.payloads import SceneRole
from retention.store import alarms, trusted
from retention.store.database import StoreUnavailable

SECOND = timedelta(seconds=1)


@pytest.fixture
def config(tmp_path) -> EdgeConfig:
    camera = CameraConfig(id="counter-1", scene_role=SceneRole.PURCHASE, url="rtsp://camera/stream")
    return EdgeConfig(
        node=NodeConfig(agency="430100", pharmacy="P1", node="node-a", data=tmp_path),
        cameras=(camera,),
        verification=VerificationConfig(camera="counter-1"),
    )


def rota(clock, *duties: Duty) -> Rota:
    return Rota(duties, clock)


def beat() -> None:
    return


def test_duty_is_done_when_it_is_due(clock):
    done = []
    found = rota(clock, Duty("a", lambda: done.append("a"), 10, first_seconds=5))
    for _ in range(26):
        found.step(beat)
        clock.advance(SECOND)
    assert done == ["a", "a", "a"]  # after 5, 15 and 25 seconds


def test_duty_says_when_it_wants_to_go_on(clock):
    left = [0.0, 0.0, None]
    done = []

    def act() -> float | None:
        done.append(1)
        return left[len(done) - 1]

    found = rota(clock, Duty("a", act, 1000))
    for _ in range(10):
        found.step(beat)
        clock.advance(SECOND)
    assert len(done) == 3


def test_failing_duty_is_tried_again_and_stops_no_other(clock):
    tries, done = [], []

    def fail() -> None:
        tries.append(1)
        raise StoreUnavailable("disk full")

    found = rota(
        clock, Duty("a", fail, 1000, again_seconds=3), Duty("b", lambda: done.append(1), 1)
    )
    for _ in range(7):
        found.step(beat)
        clock.advance(SECOND)
    assert (len(tries), len(done)) == (3, 7)


def test_folder_that_cannot_be_made_durable_ends_the_process(clock):
    def fail() -> None:
        raise DirectorySyncFailed("x")

    with pytest.raises(DirectorySyncFailed):
        rota(clock, Duty("a", fail, 1)).step(beat)


def test_every_duty_of_a_fresh_node_can_be_done(config, store):
    volumes = config.volumes(store)
    volumes.open()

    class Context:
        """What a process is given, as far as duties use it."""

        def __init__(self) -> None:
            self.config, self.beat = config, beat

    custodian = Custodian(config, store, Mock(spec=SealAsker))
    duties = duties_of(Context(), store, volumes, custodian)
    names = {duty.name for duty in duties}
    for duty in duties:
        duty.act()
    assert {"time", "erasure", "disposal", "records", "silence", "scrub", "room"} <= names
    with store.read() as connection:
        assert trusted.passed(connection, store.clock) == store.clock.now()


def test_clock_in_doubt_is_an_alarm_until_it_is_right(config, store, clock):
    keeping = Keeping(config, store, config.volumes(store), beat)
    keeping.advance_time()
    clock.jump(timedelta(hours=-1))
    for _ in range(2):
        keeping.advance_time()
    with store.read() as connection:
        assert [row.alarm for row in alarms.open_alarms(connection)] == ["CLOCK_JUMPED"]


def test_node_with_central_waits_for_its_word(config, store):
    with_central = config.model_copy(update={"central": object()})
    keeping = Keeping(with_central, store, config.volumes(store), beat)
    keeping.advance_time()
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM trusted_time").fetchone()[0] == 0
