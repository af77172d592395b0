"""Whatever breaks, and whenever: it leads to no ACCEPT, in no answer and in no record.

Each example takes an attempt that would be accepted, and breaks one thing before one of its
frames. That nothing else could have stopped it is shown by the attempt that nothing breaks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.verifier import recording
from edge.verifier.method import PolicyWatch
from edge.verifier.probes import ProbeKeeper
from edge.verifier.protocol import Decided
from models.errors import InferenceFailed
from retention.records.clock import ManualClock
from retention.records.ids import SeededIds
from retention.store.database import NodeStore, StoreUnavailable
from tests.conftest import IDENTITY
from tests.edge.counter_kit import config_for
from tests.edge.verifier.kit import Bench, request
from tests.identity import support

ACCEPTED_AT = 20
"""No attempt on the rendered head is complete before this frame."""
FIRST_COMPARED = 3
"""Before this frame nothing was embedded."""


class FaultyBench(Bench):
    """A bench whose parts can be replaced for one attempt."""

    patch: pytest.MonkeyPatch


@dataclass(frozen=True)
class Fault:
    """`breaks` is called before a frame; `until` is the last one before which it must tell."""

    name: str
    breaks: Callable[[FaultyBench], None]
    until: int = ACCEPTED_AT - 2


def raising(fault: BaseException) -> Callable[..., Any]:
    def raises(*_: object, **__: object) -> Any:
        raise fault

    return raises


def detects(answer: Callable[[int], Any]) -> Callable[[FaultyBench], None]:
    def breaks(bench: Bench) -> None:
        bench.models.faces = answer

    return breaks


def embeds(answer: Callable[[int], Any]) -> Callable[[FaultyBench], None]:
    def breaks(bench: Bench) -> None:
        bench.models.known.clear()
        bench.models.embedding = answer

    return breaks


def not_a_number(_: int) -> Any:
    return np.full(128, np.nan, dtype=np.float32)


def no_face_there(_: int) -> Any:
    landmarks = np.full((5, 2), np.inf, dtype=np.float32)
    return [support.face_at(landmarks)]


def stop(bench: Bench) -> None:
    bench.stop.set()


def camera_dies(bench: Bench) -> None:
    bench.frames.dead = True


def camera_fails(bench: Bench) -> None:
    raise RuntimeError("the camera's reader ended")


def process_is_interrupted(bench: Bench) -> None:
    raise KeyboardInterrupt


def clock_goes_back(bench: Bench) -> None:
    bench.clock.jump(-timedelta(hours=1))


def time_passes(bench: Bench) -> None:
    bench.clock.advance(timedelta(minutes=1))


def disk_is_full(bench: FaultyBench) -> None:
    bench.patch.setattr(bench.store, "write", raising(StoreUnavailable("full")))


def disk_has_no_room_for_evidence(bench: FaultyBench) -> None:
    bench.patch.setattr(ProbeKeeper, "prepare", raising(StoreUnavailable("full")))


def record_fails(bench: FaultyBench) -> None:
    bench.patch.setattr(recording, "append", raising(RuntimeError("told so")))


def evidence_cannot_be_written_down(bench: FaultyBench) -> None:
    bench.patch.setattr(recording, "encode", raising(ValueError("too large")))


def keys_are_gone(bench: Bench) -> None:
    shutil.rmtree(bench.config.node.data / "keys")


def another_takes_the_reference_away(bench: Bench) -> None:
    with bench.store.write() as connection:
        connection.execute("DELETE FROM reference_templates")


def becomes_locked(bench: Bench) -> None:
    bench.suspect(3)


def stranger(_: int) -> Any:
    return support.unit_vector(40)


def holds_a_print(bench: Bench) -> None:
    bench.frames.scene = support.held_print


FAULTS = (
    Fault("consent withdrawn", Bench.withdraw),
    Fault("stop", stop),
    Fault("camera dies", camera_dies),
    Fault("camera fails", camera_fails),
    Fault("interrupted", process_is_interrupted),
    Fault("clock back", clock_goes_back),
    Fault("too late", time_passes),
    Fault("disk full", disk_is_full),
    Fault("no room for evidence", disk_has_no_room_for_evidence),
    Fault("record fails", record_fails),
    Fault("evidence unwritable", evidence_cannot_be_written_down),
    Fault("keys gone", keys_are_gone),
    Fault("reference gone", another_takes_the_reference_away),
    Fault("locked", becomes_locked),
    Fault("detector raises", detects(raising(InferenceFailed("yunet", "no")))),
    Fault("detector fails hard", detects(raising(MemoryError()))),
    Fault("detection not finite", detects(no_face_there)),
    Fault("no face any more", detects(lambda _: []), FIRST_COMPARED),
    Fault("embedder raises", embeds(raising(InferenceFailed("sface", "no"))), FIRST_COMPARED),
    Fault("embedding not a number", embeds(not_a_number), FIRST_COMPARED),
    Fault("embedding of no length", embeds(lambda _: np.zeros(128, np.float32)), FIRST_COMPARED),
    Fault("embedding of other shape", embeds(lambda _: np.ones(3, np.float32)), FIRST_COMPARED),
    Fault("stranger steps in", embeds(stranger), FIRST_COMPARED),
    Fault("print held up", holds_a_print, FIRST_COMPARED),
)


@contextmanager
def bench_at(folder: Path) -> Iterator[FaultyBench]:
    clock = ManualClock()
    store = NodeStore(folder / "node.sqlite3", IDENTITY, clock, SeededIds())
    with pytest.MonkeyPatch.context() as patch:
        try:
            made = FaultyBench(config_for(folder), store, clock)
            made.patch = patch
            made.enrolled()
            yield made
        finally:
            store.close()


def accepted(bench: Bench) -> bool:
    """Run one attempt; say whether anything anywhere says ACCEPT."""
    answered = False
    try:
        answer = bench.ask(request().model_dump_json().encode())
        answered = isinstance(answer, Decided) and answer.decided.receipt.outcome == "ACCEPT"
    except (RuntimeError, KeyboardInterrupt, OSError):  # the worker's end: its request is refused
        pass
    recorded = bench.records("identity.decided")
    return answered or any(b'"outcome":"ACCEPT"' in one for one in recorded)


def no_fault_is_accepted(folder: Path, fault: Fault, at: int) -> None:
    with bench_at(folder) as bench:

        def before(asked: int) -> None:
            if asked == at:
                fault.breaks(bench)

        bench.frames.on_frame = before
        assert not accepted(bench)
        assert bench.frames.asked >= at, "the fault came too late to tell"


@st.composite
def moments(draw: st.DrawFn) -> tuple[Fault, int]:
    fault = draw(st.sampled_from(FAULTS))
    return fault, draw(st.integers(1, fault.until))


def test_without_a_fault_it_is_accepted_and_not_too_early(tmp_path: Path) -> None:
    with bench_at(tmp_path) as bench:
        assert accepted(bench)
        assert bench.frames.asked >= ACCEPTED_AT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_no_fault_leads_to_an_accept(fault: Fault, tmp_path: Path) -> None:
    no_fault_is_accepted(tmp_path, fault, fault.until)


@settings(max_examples=12)
@given(moment=moments())
def test_no_fault_at_any_moment_leads_to_an_accept(
    moment: tuple[Fault, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    no_fault_is_accepted(tmp_path_factory.mktemp("fault"), *moment)


@pytest.mark.soak
@settings(max_examples=600)
@given(moment=moments())
def test_no_fault_at_any_of_many_moments_leads_to_an_accept(
    moment: tuple[Fault, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    no_fault_is_accepted(tmp_path_factory.mktemp("fault"), *moment)


def test_a_policy_that_is_gone_when_it_is_asked_for_is_no_accept(tmp_path: Path) -> None:
    with bench_at(tmp_path) as bench:
        gone = PolicyWatch(
            tmp_path / "no.toml", "00" * 32, clock=bench.clock, require=lambda _: None
        )
        bench.service._policies = gone
        assert not accepted(bench)
        assert bench.frames.asked == 0
