"""Who is on duty: rows, records, and what `present` says of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from retention.records.clock import ManualClock
from retention.records.envelope import parse_record
from retention.records.ids import SeededIds
from retention.store import credentials, duty
from retention.store.database import NodeStore
from retention.store.duty import DutyRow
from retention.terms.presence import Method
from tests.conftest import IDENTITY


@dataclass(frozen=True)
class Limits:
    recheck_seconds: float = 120.0
    grace_seconds: float = 300.0
    confirm_minutes: float = 240.0


LIMITS = Limits()
SEEN = ("MATCH",)


class BootClock(ManualClock):
    """A clock whose machine can be started again."""

    boot = "00000000-0000-4000-8000-000000000000"

    def boot_id(self) -> str:
        return self.boot

    def reboot(self) -> None:
        self.boot = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def machine() -> BootClock:
    return BootClock()


@pytest.fixture
def kept(tmp_path: Path, machine: BootClock) -> Iterator[NodeStore]:
    opened = NodeStore(tmp_path / "node.sqlite3", IDENTITY, machine, SeededIds())
    with opened.write() as connection:
        for name in ("ph-1", "ph-2"):
            credentials.put(connection, "pharmacists", name, "scrypt", machine.now())
    yield opened
    opened.close()


def sign_in(
    store: NodeStore, pharmacist: str = "ph-1", counter: str = "till", method: Method = "face"
) -> None:
    with store.write() as connection:
        duty.sign_in(store, connection, pharmacist, counter, method, SEEN)


def present(store: NodeStore, counter: str | None = None) -> bool:
    with store.read() as connection:
        return duty.present(connection, counter, store.clock, LIMITS)


def row(store: NodeStore, pharmacist: str = "ph-1") -> DutyRow:
    with store.read() as connection:
        found = duty.read(connection, pharmacist)
    assert found is not None
    return found


def change(store: NodeStore, **to: Any) -> None:
    known = row(store)
    values = {
        "method": known.method,
        "state": known.state,
        "missed": known.missed,
        "reasons": known.reasons,
        "seen": False,
    }
    with store.write() as connection:
        duty.change(store, connection, known, **(values | to))


def records(store: NodeStore) -> list[tuple[str, dict[str, Any]]]:
    with store.read() as connection:
        found = connection.execute(
            "SELECT bytes FROM log WHERE kind LIKE 'pharmacist.%' ORDER BY sequence"
        ).fetchall()
    read = [parse_record(one["bytes"]) for one in found]
    return [(record.kind, dict(record.payload)) for record in read]


def test_nobody_is_present_until_somebody_signs_in(kept: NodeStore) -> None:
    assert not present(kept)

    sign_in(kept)

    assert present(kept)
    assert present(kept, "till")
    assert not present(kept, "other")
    assert records(kept) == [
        ("pharmacist.signed_in", {"pharmacist": "ph-1", "counter": "till", "method": "face"})
    ]


def test_one_pharmacist_is_at_one_counter_and_several_may_be_on_duty(kept: NodeStore) -> None:
    sign_in(kept, "ph-1", "till")
    sign_in(kept, "ph-2", "till", "secret")
    sign_in(kept, "ph-1", "other")

    with kept.read() as connection:
        found = {one.pharmacist: one.counter for one in duty.on_duty(connection)}
    assert found == {"ph-1": "other", "ph-2": "till"}
    assert [kind for kind, _ in records(kept)][-2:] == [
        "pharmacist.signed_out",
        "pharmacist.signed_in",
    ]
    assert records(kept)[-2][1] == {
        "pharmacist": "ph-1", "counter": "till", "cause": "other_signed_in"
    }  # fmt: skip


def test_a_record_is_made_only_of_a_change(kept: NodeStore, machine: BootClock) -> None:
    sign_in(kept)
    began = row(kept).since
    machine.advance(timedelta(seconds=60))

    change(kept, seen=True, reasons=SEEN)
    assert len(records(kept)) == 1
    assert row(kept).since == began
    assert row(kept).seen_at == machine.now()

    machine.advance(timedelta(seconds=60))
    change(kept, state="doubtful", missed=1, reasons=("NO_FACE",))
    assert row(kept).since == machine.now()
    assert row(kept).seen_at == machine.now() - timedelta(seconds=60)
    change(kept, state="doubtful", missed=2, reasons=("MISMATCH",))
    assert (row(kept).missed, row(kept).reasons) == (2, ("MISMATCH",))
    # Who was missed and still counts is followed by nobody.
    assert len(records(kept)) == 1

    change(kept, state="absent", missed=3, reasons=("NO_FACE",))
    assert records(kept)[1:] == [
        (
            "pharmacist.presence",
            {
                "pharmacist": "ph-1",
                "counter": "till",
                "state": "absent",
                "method": "face",
                "reasons": ["NO_FACE"],
            },
        )
    ]
    change(kept, state="present", seen=True, reasons=SEEN)
    assert len(records(kept)) == 3


def test_a_doubt_in_which_nobody_counts_is_recorded(kept: NodeStore, machine: BootClock) -> None:
    sign_in(kept)
    machine.reboot()
    change(kept, state="doubtful", reasons=("NODE_RESTARTED",))
    change(kept, state="present", seen=True, reasons=SEEN)
    assert [payload.get("state") for _, payload in records(kept)] == [None, "doubtful", "present"]


def test_who_is_doubtful_is_still_present_and_who_is_absent_is_not(kept: NodeStore) -> None:
    sign_in(kept)
    change(kept, state="doubtful", missed=1)
    assert present(kept)

    change(kept, state="absent", missed=2)
    assert not present(kept)

    sign_in(kept, "ph-2")
    assert present(kept)


def test_signing_out_ends_it_with_its_cause(kept: NodeStore) -> None:
    sign_in(kept)
    with kept.write() as connection:
        duty.sign_out(kept, connection, row(kept), "asked")

    assert not present(kept)
    assert records(kept)[-1] == (
        "pharmacist.signed_out",
        {"pharmacist": "ph-1", "counter": "till", "cause": "asked"},
    )


@pytest.mark.parametrize(("method", "seconds"), [("face", 360.0), ("secret", 240 * 60.0)])
def test_a_state_that_nobody_renewed_counts_for_nothing(
    kept: NodeStore, machine: BootClock, method: Method, seconds: float
) -> None:
    sign_in(kept, method=method)

    machine.advance(timedelta(seconds=seconds))
    assert present(kept)
    machine.advance(timedelta(seconds=1))
    assert row(kept).state == "present"
    assert not present(kept)


@pytest.mark.parametrize("days", [-400, 400])
def test_a_moved_wall_clock_changes_nothing(kept: NodeStore, machine: BootClock, days: int) -> None:
    sign_in(kept)

    machine.jump(timedelta(days=days))

    assert present(kept)
    machine.advance(timedelta(seconds=361))
    assert not present(kept)


def test_after_a_reboot_nobody_is_present(kept: NodeStore, machine: BootClock) -> None:
    sign_in(kept, method="secret")

    machine.reboot()

    assert row(kept).age_seconds(machine) is None
    assert not present(kept)
    change(kept, state="present", seen=True)
    assert present(kept)


def test_a_revoked_credential_is_present_nowhere(kept: NodeStore) -> None:
    sign_in(kept)
    with kept.write() as connection:
        connection.execute("UPDATE pharmacists SET revoked_at = 1 WHERE id = 'ph-1'")

    assert not present(kept)
    with kept.read() as connection:
        assert not duty.is_credential(connection, "ph-1")
        assert duty.is_credential(connection, "ph-2")
        assert not duty.is_credential(connection, "ph-9")
