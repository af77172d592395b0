"""Sealed evidence opens for its own receipt only, and is gone when it is erased."""

from __future__ import annotations

import dataclasses
import os
import resource
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retention import probe_files
from retention.keyfiles import secret_key
from retention.probe_files import Bound, ProbeSweep, ProbeUnreadable
from retention.records.clock import ManualClock
from retention.store.database import NodeStore
from tests.dying import die_at
from tests.retention.probes_kit import (
    EVIDENCE,
    files,
    folder,
    give_consent,
    keep_probe,
    open_probe,
    rows,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
BOUND = Bound("receipt", "session", "a" * 64, "d" * 64)


@given(st.binary(max_size=2000))
def test_what_is_sealed_opens_to_the_same_bytes(content: bytes) -> None:
    sealed = probe_files.seal(content, KEY, BOUND)
    assert probe_files.open_sealed(sealed, KEY, BOUND) == content


def test_the_sealed_form_shows_nothing_and_never_repeats() -> None:
    first, second = (probe_files.seal(EVIDENCE, KEY, BOUND) for _ in range(2))
    assert EVIDENCE[:16] not in first
    assert first[len(probe_files.HEAD) :] != second[len(probe_files.HEAD) :]


@pytest.mark.parametrize("name", ["receipt", "session", "person_ref", "digest"])
def test_evidence_that_was_moved_to_another_row_does_not_open(name: str) -> None:
    sealed = probe_files.seal(EVIDENCE, KEY, BOUND)
    with pytest.raises(ProbeUnreadable, match="seal does not hold"):
        probe_files.open_sealed(sealed, KEY, dataclasses.replace(BOUND, **{name: "x"}))


def test_what_the_disk_does_not_take_leaves_nothing_on_it(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            probe_files.write(tmp_path / "probes", "receipt", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "probes").iterdir()) == []


@given(place=st.integers(0, 200), bit=st.integers(0, 7))
def test_no_changed_bit_opens(place: int, bit: int) -> None:
    sealed = bytearray(probe_files.seal(EVIDENCE, KEY, BOUND))
    sealed[place % len(sealed)] ^= 1 << bit
    with pytest.raises(ProbeUnreadable):
        probe_files.open_sealed(bytes(sealed), KEY, BOUND)


@pytest.mark.parametrize("length", [0, 5, len(probe_files.HEAD), 33, 50])
def test_a_cut_file_is_one_clear_refusal(length: int) -> None:
    sealed = probe_files.seal(EVIDENCE, KEY, BOUND)
    with pytest.raises(ProbeUnreadable):
        probe_files.open_sealed(sealed[:length], KEY, BOUND)


def test_a_wrapped_key_opens_under_its_own_key_for_its_own_receipt_only() -> None:
    under, other = secret_key(KEY), secret_key(OTHER_KEY)
    nonce, wrapped = probe_files.wrap(b"k" * 32, "receipt", "session", under)
    assert probe_files.unwrap(nonce, wrapped, "receipt", "session", under) == b"k" * 32
    for asked in (
        (nonce, wrapped, "receipt", "session", other),
        (nonce, wrapped, "another", "session", under),
        (nonce, wrapped, "receipt", "another", under),
        (nonce, wrapped[:-1], "receipt", "session", under),
        (b"", wrapped, "receipt", "session", under),
    ):
        with pytest.raises(ProbeUnreadable):
            probe_files.unwrap(*asked)


def test_only_the_node_may_read_the_folder_and_its_files(store: NodeStore) -> None:
    path = probe_files.write(folder(store), "receipt", b"sealed")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_erased_file_was_overwritten_before_its_name_went(store: NodeStore) -> None:
    path = probe_files.write(folder(store), "receipt", b"sealed" * 1000)
    with path.open("rb") as still_open:
        assert probe_files.erase(path)
        assert still_open.read() == bytes(6000)
    assert not path.exists()
    assert not probe_files.erase(path)


def test_a_link_in_the_folder_leads_nowhere(store: NodeStore, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"not ours")
    folder(store).mkdir()
    (folder(store) / "receipt").symlink_to(outside)
    assert probe_files.erase_all(store, ["receipt"]) == 0
    assert outside.read_bytes() == b"not ours"


# -- what a crash leaves --------------------------------------------------------------------------


def sweep_after(sweep: ProbeSweep, clock: ManualClock, seconds: float) -> int:
    clock.advance(timedelta(seconds=seconds))
    return sweep.step()


def test_a_file_without_a_row_goes_after_a_while_and_one_with_a_row_never(
    store: NodeStore, clock: ManualClock
) -> None:
    give_consent(store)
    kept = keep_probe(store)
    probe_files.write(folder(store), "stray", b"sealed")
    probe_files.write(folder(store), "half.tmp", b"sea")
    sweep = ProbeSweep(store)
    assert sweep.step() == 0
    assert sweep_after(sweep, clock, ProbeSweep.LEAVE_SECONDS - 1) == 0
    assert files(store) == sorted([kept, "stray", "half.tmp"])
    assert sweep_after(sweep, clock, 2) == 2
    assert files(store) == [kept]
    assert open_probe(store, kept) == EVIDENCE


def test_a_clock_that_jumps_sweeps_nothing(store: NodeStore, clock: ManualClock) -> None:
    probe_files.write(folder(store), "being-decided", b"sealed")
    sweep = ProbeSweep(store)
    sweep.step()
    clock.jump(timedelta(days=400))
    assert sweep.step() == 0
    assert files(store) == ["being-decided"]


def test_a_file_whose_row_came_late_is_kept(store: NodeStore, clock: ManualClock) -> None:
    give_consent(store)
    sweep = ProbeSweep(store)
    receipt = keep_probe(store)
    with store.write() as connection:
        connection.execute("CREATE TEMP TABLE away AS SELECT * FROM probes")
        connection.execute("DELETE FROM probes")
    assert sweep.step() == 0
    with store.write() as connection:
        connection.execute("INSERT INTO probes SELECT * FROM away")
    assert sweep_after(sweep, clock, 10_000) == 0
    assert files(store) == [receipt]


def test_without_a_folder_there_is_nothing_to_sweep(store: NodeStore) -> None:
    assert ProbeSweep(store).step() == 0


@pytest.mark.parametrize("step", range(1, 12))
def test_a_kill_while_keeping_leaves_whole_evidence_or_a_stray(
    store: NodeStore, clock: ManualClock, step: int
) -> None:
    """The child dies before one of its disk calls; SQLite's own are not among them."""
    give_consent(store)
    before = rows(store)
    died = die_at(step, ("mkdir", "fsync", "open", "rename"), lambda: _keep_in_child(store))
    kept = sorted(set(rows(store)) - set(before))
    for receipt in kept:
        assert open_probe(store, receipt) == EVIDENCE
    assert died or kept
    sweep = ProbeSweep(store)
    sweep.step()
    sweep_after(sweep, clock, ProbeSweep.LEAVE_SECONDS)
    assert files(store) == kept


def _keep_in_child(store: NodeStore) -> None:
    """A forked child opens its own database: a connection does not survive a fork."""
    os.environ.setdefault("COUNTERSIGHT_SIMULATION", "1")
    own = NodeStore(store.path, store.identity, store.clock, store.ids)
    keep_probe(own)
    own.close()
