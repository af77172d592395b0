from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from retention.records.clock import EPOCH, ClockState
from retention.records.payloads import NodeStopped
from retention.store import trusted
from retention.store.log import append
from tests.retention.keeping_kit import DAY

HOUR, YEAR = timedelta(hours=1), 366 * DAY


def passed(node) -> datetime:
    with node.store.read() as connection:
        return trusted.passed(connection, node.clock)


def state(node) -> ClockState:
    with node.store.read() as connection:
        return trusted.clock_state(connection, node.clock, trusted.newest_seen_at(connection))


@pytest.fixture
def with_central(node):
    node.central = True
    node.hear_central()
    node.tick()
    return node


def test_nothing_has_surely_passed_before_the_first_anchor(store, clock):
    with store.read() as connection:
        assert trusted.passed(connection, clock) == EPOCH


def test_time_runs_with_the_machine_between_two_looks(node, machine):
    start = machine.real
    machine.advance(5 * DAY)
    assert passed(node) == start + 5 * DAY


def test_wall_clock_that_jumps_forward_moves_nothing(with_central, machine):
    start = machine.real
    machine.jump(YEAR)
    with_central.tick()
    assert passed(with_central) == start
    assert state(with_central) is ClockState.JUMPED


def test_wall_clock_that_is_wrong_from_the_boot_on_moves_nothing(with_central, machine):
    """A dead battery that says next year: no process sees a jump, so no clock is in doubt."""
    start = machine.real
    machine.reboot(after=HOUR, wall=machine.real + YEAR)
    with_central.tick()
    assert passed(with_central) == start
    assert state(with_central) is ClockState.STEADY


def test_nineteen_seventy_takes_nothing_back_and_rests_disposal(with_central, machine):
    start = machine.real
    machine.reboot(after=HOUR, wall=EPOCH)
    with_central.tick()
    machine.advance(HOUR)
    assert passed(with_central) == start + HOUR
    assert state(with_central) is ClockState.JUMPED
    machine.correct()
    with_central.hear_central()
    with_central.tick()
    assert passed(with_central) == machine.real
    assert state(with_central) is ClockState.STEADY


def test_reboots_count_only_what_ran_until_central_speaks(with_central, machine):
    start = machine.real
    for _ in range(5):
        with_central.advance(14 * HOUR)
        machine.reboot(after=10 * HOUR)
        with_central.tick()
    assert passed(with_central) == start + 5 * 14 * HOUR
    with_central.hear_central()
    with_central.tick()
    assert passed(with_central) == machine.real == start + 5 * DAY


def test_reboot_without_a_last_look_forgets_only_what_ran_since_it(node, machine):
    node.advance(HOUR)
    told = passed(node)
    machine.advance(HOUR)
    machine.reboot(after=HOUR)
    machine.advance(10 * HOUR)  # longer than the last boot ran: not to be compared with it
    assert passed(node) == told


def test_central_ahead_of_the_wall_counts_only_as_far_as_both_agree(with_central, machine):
    with_central.hear_central(at=machine.real + YEAR)
    with_central.tick()
    assert passed(with_central) == machine.real
    machine.jump(YEAR // 2)
    with_central.tick()
    assert passed(with_central) == machine.now()


def test_stale_central_takes_nothing_back(with_central, machine):
    with_central.advance(30 * DAY)
    with_central.record(NodeStopped(reason="asked"))
    with_central.hear_central(at=machine.real - 20 * DAY)
    with_central.tick()
    assert passed(with_central) == machine.real


def test_clock_that_is_set_back_rests_disposal_and_takes_nothing_back(node, machine):
    told = passed(node)
    machine.jump(-HOUR)
    node.tick()
    assert passed(node) == told
    assert state(node) is ClockState.JUMPED


def test_node_with_a_central_has_no_anchor_before_central_spoke(node, machine):
    node.forge("DELETE FROM trusted_time")
    node.central = True
    node.tick()
    assert passed(node) == EPOCH
    node.hear_central(at=machine.real - HOUR)
    node.tick()
    assert passed(node) == machine.real - HOUR


def test_old_word_of_central_does_not_make_a_jumped_clock_right(with_central, machine):
    machine.jump(3 * HOUR)
    assert state(with_central) is ClockState.JUMPED
    machine.jump(-3 * HOUR)
    assert state(with_central) is ClockState.STEADY


def test_small_step_back_does_not_rest_disposal_for_ever(node, machine):
    """A time server sets a fast clock right, on a machine that is never switched off."""
    node.advance(DAY)
    machine.jump(-timedelta(seconds=12))
    machine._state = ClockState.STEADY  # the processes started again since
    node.advance(30 * DAY)
    assert machine.now() < passed(node)
    assert state(node) is ClockState.STEADY


@pytest.mark.parametrize("year", [1970, 2010, 2099])
def test_node_alone_does_not_begin_with_a_clock_that_cannot_be_right(node, machine, year):
    """Decades behind it would never dispose of anything, and never say so."""
    node.forge("DELETE FROM trusted_time")
    machine.reboot(wall=datetime(year, 1, 1, tzinfo=UTC))
    node.tick()
    assert passed(node) == EPOCH
    assert state(node) is ClockState.JUMPED
    machine.reboot()
    node.tick()
    assert passed(node) == machine.real
    assert state(node) is ClockState.STEADY


# -- what was recorded when -----------------------------------------------------------------------


def lived(node, sequence, moment):
    with node.store.read() as connection:
        return trusted.lived(connection, node.clock, sequence, moment, moment)


def test_what_is_recorded_counts_from_the_next_mark_at_the_latest(node, machine):
    sequence = node.record(NodeStopped(reason="asked")).sequence
    recorded_at = machine.now()
    node.advance(HOUR)
    node.advance(30 * DAY)
    started, ended = lived(node, sequence, recorded_at)
    assert started == recorded_at
    assert recorded_at <= ended <= recorded_at + HOUR


def test_a_stamp_of_nineteen_seventy_does_not_make_it_old(node, machine):
    node.advance(HOUR)
    machine.reboot(after=DAY, wall=EPOCH)
    sequence = node.record(NodeStopped(reason="asked")).sequence
    made = passed(node)
    node.advance(HOUR)
    started, ended = lived(node, sequence, EPOCH)
    assert (started, ended >= made) == (EPOCH, True)


def test_what_no_mark_follows_may_have_been_made_just_now(node, machine):
    sequence = node.record(NodeStopped(reason="asked")).sequence
    _, ended = lived(node, sequence, EPOCH)
    assert ended == passed(node)


def test_time_that_leaps_after_an_item_makes_it_no_older(with_central, machine):
    """Off for two years, up with a clock that stood still, recording; then central speaks."""
    machine.reboot(after=2 * YEAR, wall=machine.real)
    stamped = machine.now()
    sequence = with_central.record(NodeStopped(reason="asked")).sequence
    machine.correct()
    with_central.hear_central()
    with_central.tick()
    assert passed(with_central) == machine.real
    _, ended = lived(with_central, sequence, stamped)
    assert ended == machine.real


def test_time_that_leaps_after_an_item_and_its_mark_makes_it_no_older(with_central, machine):
    """The same, but so long after that trusted time was marked in between, still two years behind:
    only central's countersignature tells how old it can be."""
    machine.reboot(after=2 * YEAR, wall=machine.real)
    with_central.tick()
    stamped = machine.now()
    sequence = with_central.record(NodeStopped(reason="asked")).sequence
    with_central.advance(3 * HOUR)
    machine.correct()
    with_central.hear_central()
    with_central.tick()
    _, ended = lived(with_central, sequence, stamped)
    assert ended == machine.real


def test_what_central_never_covered_is_no_older_than_its_last_word(with_central, machine):
    """As above, but the word that moves time on is of a checkpoint from just before, and then
    central is taken out of the configuration: nothing will ever cover what was recorded."""
    machine.reboot(after=2 * YEAR, wall=machine.real)
    with_central.tick()
    stamped = machine.now()
    answer = with_central.ask_central()
    sequence = with_central.record(NodeStopped(reason="asked")).sequence
    with_central.advance(3 * HOUR)
    machine.correct()
    answer(machine.real)
    with_central.tick()
    assert passed(with_central) == machine.real
    with_central.central = False
    _, ended = lived(with_central, sequence, stamped)
    assert ended == machine.real


def test_what_was_recorded_before_the_first_mark_may_have_begun_at_any_time(node, machine):
    sequence = node.record(NodeStopped(reason="asked")).sequence
    node.forge("DELETE FROM time_marks")
    assert lived(node, sequence, machine.now())[0] == EPOCH


def test_marks_are_made_once_an_hour_of_a_log_that_grows(node):
    for _ in range(10):
        node.record(NodeStopped(reason="asked"))
        node.advance(timedelta(minutes=30))
    with node.store.read() as connection:
        marks = connection.execute("SELECT log_size, passed_at FROM time_marks").fetchall()
    sizes, times = zip(*(tuple(mark) for mark in marks), strict=True)
    assert len(marks) == 6
    assert list(sizes) == sorted(set(sizes))
    assert list(times) == sorted(times)


def test_moment_of_adoption_is_never_before_what_surely_passed(node, machine):
    machine.reboot(wall=datetime(1990, 1, 1, tzinfo=UTC))
    node.promise(2)
    with node.store.write() as connection:
        append(node.store, connection, NodeStopped(reason="asked"))
        (adopted_at,) = connection.execute("SELECT adopted_at FROM policies").fetchone()
    assert adopted_at == int(passed(node).timestamp() * 1e6)
