from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from retention.erasure import erase_due
from retention.records.clock import to_text
from retention.records.keeping import Ceiling, FaceMaterial, PolicyAdopted, RetentionPolicy
from retention.records.payloads import ConsentGiven
from retention.store import people, policies
from retention.store.database import StoreUnavailable
from retention.store.people import Reference
from tests.retention.keeping_kit import DAY, Node
from tests.retention.probes_kit import (
    EVIDENCE,
    files,
    give_consent,
    keep_probe,
    open_probe,
    release,
    rows,
    withdraw,
)

ONE = {"face_reference": 1}
SEALED = b"a sealed template that is long enough to be found again"


def enrol(node: Node, days: int) -> str:
    consent, reference, now = node.ids.new(), node.ids.new(), node.clock.now()
    given = ConsentGiven(
        consent=consent, person_ref="a" * 64, purpose="face_verification", notice_version="1",
        method="signed", operator="op",
    )  # fmt: skip
    made = Reference(
        id=reference, person_ref="a" * 64, consent=consent, contract_id="c" * 64,
        source="id_card_chip", key_id="k1", nonce=b"n" * 12, sealed=SEALED, enrolled_at=now,
        expires_at=now + timedelta(days=days),
    )  # fmt: skip
    with node.store.write() as connection:
        people.give_consent(node.store, connection, given, counter="c1")
        people.insert_reference(node.store, connection, made, counter="c1")
    return reference


def held(node: Node) -> list[str]:
    with node.store.read() as connection:
        return [row[0] for row in connection.execute("SELECT id FROM reference_templates")]


def shorten(
    node: Node,
    days: int,
    effective_from: datetime | None = None,
    material: FaceMaterial = "face_reference",
    version: int = 1,
) -> None:
    policy = RetentionPolicy(
        policy="p",
        version=version,
        province=None,
        agreement=None,
        effective_from=to_text(effective_from or node.clock.now()),
        terms=(),
        ceilings=(Ceiling(material=material, days=days),),
    )
    adopted = PolicyAdopted(policy=policy, authority="central", author="a", reason="r")
    with node.store.write() as connection:
        policies.adopt(node.store, connection, adopted)


def test_a_day_before_its_end_it_stays_and_a_day_after_it_is_gone_and_recorded(node):
    reference = enrol(node, 365)
    node.advance(364 * DAY)
    assert (erase_due(node.store), held(node)) == ({}, [reference])
    node.advance(2 * DAY)
    assert (erase_due(node.store), held(node)) == (ONE, [])
    (said,) = node.payloads("reference.erased")
    assert (said["reference"], said["cause"]) == (reference, "expired")
    assert erase_due(node.store) == {}


def test_policy_brings_the_end_forward(node):
    enrol(node, 365)
    shorten(node, 30)
    node.advance(29 * DAY)
    assert erase_due(node.store) == {}
    node.advance(2 * DAY)
    assert erase_due(node.store) == ONE


def test_policy_that_is_to_come_waits_for_its_day(node):
    enrol(node, 365)
    shorten(node, 30, node.clock.now() + 100 * DAY)
    node.advance(99 * DAY)
    assert erase_due(node.store) == {}
    node.advance(2 * DAY)
    assert erase_due(node.store) == ONE


def test_no_hold_keeps_a_reference(node):
    enrol(node, 10)
    node.hold("pharmacy")
    node.advance(11 * DAY)
    assert erase_due(node.store) == ONE


@pytest.mark.parametrize("wrong", ["set back", "jumped ahead"])
def test_wrong_clock_delays_nothing(node, machine, wrong):
    """The later of both clocks counts: late deletion is the fault here."""
    enrol(node, 10)
    if wrong == "set back":
        node.advance(11 * DAY)
        machine.jump(-30 * DAY)
    else:
        machine.jump(11 * DAY)
    assert erase_due(node.store) == ONE


def test_template_is_nowhere_in_the_files_afterwards(node, tmp_path):
    enrol(node, 10)
    node.advance(11 * DAY)
    assert any(SEALED in file.read_bytes() for file in tmp_path.glob("node.sqlite3*"))
    erase_due(node.store)
    assert not any(SEALED in file.read_bytes() for file in tmp_path.glob("node.sqlite3*"))


# -- sealed probes --------------------------------------------------------------------------------


def test_probes_go_after_thirty_days_row_and_file_and_are_recorded(node):
    give_consent(node.store)
    old = keep_probe(node.store)
    node.advance(DAY)
    young = keep_probe(node.store)
    node.advance(28.9 * DAY)
    assert erase_due(node.store) == {}
    assert open_probe(node.store, old) == EVIDENCE
    node.advance(0.2 * DAY)
    assert erase_due(node.store) == {"probe_crop": 1}
    assert rows(node.store) == files(node.store) == [young]
    assert node.payloads("probes.erased") == [{"cause": "expired", "receipts": [old]}]
    assert open_probe(node.store, young) == EVIDENCE


def test_policy_shortens_how_long_probes_are_kept_and_nothing_lengthens_it(node):
    give_consent(node.store)
    keep_probe(node.store)
    shorten(node, 3, material="probe_crop")
    node.advance(3 * DAY)
    assert erase_due(node.store) == {"probe_crop": 1}
    keep_probe(node.store)
    shorten(node, 90, material="probe_crop", version=2)
    node.advance(30 * DAY)
    assert erase_due(node.store) == {"probe_crop": 1}


@pytest.mark.parametrize("scope", ["pharmacy", "session", "person"])
def test_hold_keeps_probes_for_years_and_they_go_when_it_is_released(node, scope):
    """Of a person only the sessions that the log names are known: the probe names its person."""
    give_consent(node.store)
    session = node.ids.new()
    receipt = keep_probe(node.store, session=session)
    said = {"session": {"session": session}, "person": {"person_ref": "a" * 64}}.get(scope, {})
    hold = node.hold(scope, **said)
    node.advance(400 * DAY)
    assert erase_due(node.store) == {}
    assert open_probe(node.store, receipt) == EVIDENCE
    release(node.store, hold)
    assert erase_due(node.store) == {"probe_crop": 1}
    assert rows(node.store) == files(node.store) == []


def test_withdrawal_that_erased_references_alone_is_finished_here(node):
    consent = give_consent(node.store)
    keep_probe(node.store)
    withdraw(node.store, consent)
    assert erase_due(node.store) == {"probe_crop": 1}
    assert files(node.store) == []


def test_crash_between_row_and_file_leaves_a_file_that_opens_nowhere(node, monkeypatch):
    give_consent(node.store)
    receipt = keep_probe(node.store)
    node.advance(31 * DAY)
    monkeypatch.setattr("retention.probe_files.erase", lambda path: False)
    assert erase_due(node.store) == {"probe_crop": 1}
    assert (rows(node.store), files(node.store)) == ([], [receipt])
    assert erase_due(node.store) == {}


def test_files_go_also_when_the_log_cannot_be_folded_now(node, monkeypatch):
    give_consent(node.store)
    keep_probe(node.store)
    node.advance(31 * DAY)

    def full(_):
        raise StoreUnavailable("full")

    monkeypatch.setattr(people, "fold_wal", full)
    with pytest.raises(StoreUnavailable):
        erase_due(node.store)
    assert (rows(node.store), files(node.store)) == ([], [])


@pytest.mark.parametrize("wrong", ["set back", "jumped ahead"])
def test_wrong_clock_delays_no_probe_either(node, machine, wrong):
    give_consent(node.store)
    keep_probe(node.store)
    if wrong == "set back":
        node.advance(31 * DAY)
        machine.jump(-60 * DAY)
    else:
        machine.jump(31 * DAY)
    assert erase_due(node.store) == {"probe_crop": 1}
