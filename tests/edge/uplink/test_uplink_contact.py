"""When central last answered: written by the uplink, read by the counter's page."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from edge.config import EdgeConfig
from edge.uplink.contact import contact_path, note_of, read_contact
from retention.records.clock import ManualClock, to_text
from tests.edge.counter_kit import config_for


@pytest.fixture
def config(tmp_path: Path) -> EdgeConfig:
    return config_for(tmp_path)


def test_a_node_that_never_reached_central_says_so(config: EdgeConfig, clock: ManualClock) -> None:
    assert read_contact(config, clock) is None
    note_of(config, clock).write(connected=False)
    found = read_contact(config, clock)
    assert found is not None
    assert (found.connected, found.answered_at) == (False, None)


def test_an_answer_and_a_lost_connection_are_told_at_once(
    config: EdgeConfig, clock: ManualClock
) -> None:
    note = note_of(config, clock)
    note.answered()
    answered = to_text(clock.now())
    note.write(connected=True)
    assert read_contact(config, clock).connected  # type: ignore[union-attr]
    clock.advance(timedelta(seconds=1))
    note.write(connected=False)
    found = read_contact(config, clock)
    assert found is not None
    assert (found.connected, found.answered_at) == (False, answered)


def test_a_file_that_nobody_refreshes_says_only_when_central_answered(
    config: EdgeConfig, clock: ManualClock
) -> None:
    note = note_of(config, clock)
    note.answered()
    note.write(connected=True)
    clock.advance(timedelta(seconds=19))
    assert read_contact(config, clock).connected  # type: ignore[union-attr]
    clock.advance(timedelta(seconds=2))
    found = read_contact(config, clock)
    assert found is not None
    assert not found.connected
    assert found.answered_at is not None


def test_a_file_of_before_the_reboot_is_not_fresh(config: EdgeConfig, clock: ManualClock) -> None:
    late = ManualClock()
    late.advance(timedelta(days=3))
    note_of(config, late).write(connected=True)
    assert not read_contact(config, clock).connected  # type: ignore[union-attr]


def test_it_is_written_again_every_five_seconds_and_not_more_often(
    config: EdgeConfig, clock: ManualClock
) -> None:
    note, path = note_of(config, clock), contact_path(config)
    note.write(connected=True)
    path.unlink()
    clock.advance(timedelta(seconds=4.9))
    note.write(connected=True)
    assert not path.exists()
    clock.advance(timedelta(seconds=0.2))
    note.write(connected=True)
    assert path.exists()
    assert sorted(one.name for one in path.parent.iterdir()) == ["central.json"]


def test_a_new_uplink_goes_on_from_what_the_last_one_knew(
    config: EdgeConfig, clock: ManualClock
) -> None:
    note = note_of(config, clock)
    note.answered()
    note.write(connected=True)
    answered = note.answered_at
    clock.advance(timedelta(hours=1))
    note_of(config, clock).write(connected=False)
    assert read_contact(config, clock).answered_at == answered  # type: ignore[union-attr]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"connected": 3}'])
def test_a_file_cut_short_is_as_if_there_were_none(
    config: EdgeConfig, clock: ManualClock, content: bytes
) -> None:
    path = contact_path(config)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert read_contact(config, clock) is None
    note_of(config, clock).write(connected=True)
    assert read_contact(config, clock) is not None
