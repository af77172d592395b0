from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from retention.erasure import erase_due
from retention.records.clock import to_text
from retention.records.keeping import Ceiling, PolicyAdopted, RetentionPolicy
from retention.records.payloads import ConsentGiven
from retention.store import people, policies
from retention.store.people import Reference
from tests.retention.keeping_kit import DAY, Node

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


def shorten(node: Node, days: int, effective_from: datetime | None = None) -> None:
    policy = RetentionPolicy(
        policy="p",
        version=1,
        province=None,
        agreement=None,
        effective_from=to_text(effective_from or node.clock.now()),
        terms=(),
        ceilings=(Ceiling(material="face_reference", days=days),),
    )
    adopted = PolicyAdopted(policy=policy, authority="central", author="a", reason="r")
    with node.store.write() as connection:
        policies.adopt(node.store, connection, adopted)


def test_a_day_before_its_end_it_stays_and_a_day_after_it_is_gone_and_recorded(node):
    reference = enrol(node, 365)
    node.advance(364 * DAY)
    assert (erase_due(node.store), held(node)) == (0, [reference])
    node.advance(2 * DAY)
    assert (erase_due(node.store), held(node)) == (1, [])
    (said,) = node.payloads("reference.erased")
    assert (said["reference"], said["cause"]) == (reference, "expired")
    assert erase_due(node.store) == 0


def test_policy_brings_the_end_forward(node):
    enrol(node, 365)
    shorten(node, 30)
    node.advance(29 * DAY)
    assert erase_due(node.store) == 0
    node.advance(2 * DAY)
    assert erase_due(node.store) == 1


def test_policy_that_is_to_come_waits_for_its_day(node):
    enrol(node, 365)
    shorten(node, 30, node.clock.now() + 100 * DAY)
    node.advance(99 * DAY)
    assert erase_due(node.store) == 0
    node.advance(2 * DAY)
    assert erase_due(node.store) == 1


def test_no_hold_keeps_a_reference(node):
    enrol(node, 10)
    node.hold("pharmacy")
    node.advance(11 * DAY)
    assert erase_due(node.store) == 1


@pytest.mark.parametrize("wrong", ["set back", "jumped ahead"])
def test_wrong_clock_delays_nothing(node, machine, wrong):
    """The later of both clocks counts: late deletion is the fault here."""
    enrol(node, 10)
    if wrong == "set back":
        node.advance(11 * DAY)
        machine.jump(-30 * DAY)
    else:
        machine.jump(11 * DAY)
    assert erase_due(node.store) == 1


def test_template_is_nowhere_in_the_files_afterwards(node, tmp_path):
    enrol(node, 10)
    node.advance(11 * DAY)
    assert any(SEALED in file.read_bytes() for file in tmp_path.glob("node.sqlite3*"))
    erase_due(node.store)
    assert not any(SEALED in file.read_bytes() for file in tmp_path.glob("node.sqlite3*"))
