"""What central adds up about the face method: people per controller, and whom the method fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from central import faces
from central.faces import Rate
from central.projector import project_all, reproject
from retention.records import people as f
from retention.records.fields import Frozen
from retention.store.log import append
from tests.central.wirekit import IDENTITY, TestCentral, TestNode, settle
from tests.golden.samples import RECEIPT2, SIGNATURE


def add(node: TestNode, central: TestCentral, *facts: Frozen) -> None:
    with node.store.write() as connection:
        for fact in facts:
            append(node.store, connection, fact)
    settle(node, central)
    project_all(central.database)


def decided(number: int, **changes: Any) -> f.IdentityDecided2:
    session = f"01900000-0000-7000-8000-{number:012d}"
    receipt = RECEIPT2.model_copy(update={"session": session, **changes})
    return f.IdentityDecided2(session=session, receipt=receipt, signature=SIGNATURE)


REFUSED: dict[str, Any] = {"outcome": "REFER", "reasons": ("MISMATCH",)}
UNCAPTURED: dict[str, Any] = {
    "outcome": "RETRY", "reasons": ("NO_FACE",), "comparison_score": None,
}  # fmt: skip
ATTESTED: dict[str, Any] = {
    "method": "document_attested", "frames_seen": 0, "comparison_score": None,
    "reasons": ("DOCUMENT_ATTESTED",),
}  # fmt: skip


def report(central: TestCentral, days: int = 90) -> faces.Fairness:
    with central.database.read() as connection:
        return faces.fairness(connection, central.clock.now(), days)


def test_a_face_that_was_refused_before_another_way_is_a_likely_false_reject(
    node: TestNode, central: TestCentral
) -> None:
    add(
        node, central,
        decided(1, age_band="80_up"),
        decided(2, age_band="80_up", **REFUSED), decided(2, age_band="80_up", **ATTESTED),
        decided(3, age_band="18_39", **UNCAPTURED), decided(3, age_band="18_39", **ATTESTED),
        decided(4, age_band="18_39", sex="male", **REFUSED),
        decided(5, age_band="18_39", sex="male", **ATTESTED),
    )  # fmt: skip
    found = report(central)
    # Of three who were compared one got in by another way; who never got in may be a stranger.
    assert found.everybody.refused == Rate(1, 3)
    assert found.everybody.uncaptured == Rate(1, 4)
    assert found.everybody.other_way == Rate(3, 4)
    groups = {group.code: group for group in found.groups}
    assert groups["80_up"].refused == Rate(1, 2)
    assert groups["18_39"].refused == Rate(0, 1)
    assert groups["male"].other_way == Rate(1, 1)
    assert [group.code for group in found.groups] == ["18_39", "80_up", "female", "male"]


def test_tries_of_the_patient_do_not_count_against_whoever_collects(
    node: TestNode, central: TestCentral
) -> None:
    add(
        node, central,
        decided(1, age_band="80_up", **REFUSED),
        decided(1, age_band="18_39", subject_role="proxy", **ATTESTED),
    )  # fmt: skip
    found = report(central)
    assert found.everybody.refused == Rate(0, 0)
    assert [group.code for group in found.groups] == ["18_39", "female"]


@pytest.mark.parametrize("order", [1, -1])
def test_whom_the_face_accepted_it_did_not_refuse_whatever_else_vouched(
    node: TestNode, central: TestCentral, order: int
) -> None:
    # A basket that became dearer, a receipt that ran out, or a face after the document.
    told = [decided(1), decided(1, **ATTESTED)]
    add(node, central, decided(1, **REFUSED), *told[::order])
    found = report(central)
    assert found.everybody.refused == Rate(0, 1)
    assert found.everybody.other_way == Rate(0, 1)


def test_what_came_before_central_could_tell_is_told_after_a_new_projection(
    node: TestNode, central: TestCentral
) -> None:
    counted = f.SubjectsCounted(controller="chain-9", subjects=7, references=7)
    add(node, central, decided(1, **REFUSED), decided(1, **ATTESTED), decided(2), counted)
    told = report(central)
    assert told.everybody.refused == Rate(1, 2)
    with central.database.write() as connection:  # as revision 0004 finds a database
        connection.execute(delete(faces.SUBJECTS))
        connection.execute(
            update(faces.SESSIONS).values(
                subject_role=None, age_band=None, sex=None, accepted_by=None,
                face_tries=0, face_compared=0,
            )
        )  # fmt: skip
    assert report(central).everybody.sessions == 0
    reproject(central.database)
    assert report(central) == told
    with central.database.read() as connection:
        assert [one.subjects for one in faces.controllers(connection)] == [7]


def test_what_is_older_than_the_period_does_not_count(node: TestNode, central: TestCentral) -> None:
    add(node, central, decided(1))
    central.clock.advance(timedelta(days=40))
    assert report(central, days=30).everybody.sessions == 0
    assert report(central, days=90).everybody.sessions == 1


def test_a_group_stands_out_only_when_its_whole_interval_does() -> None:
    def group(refused: Rate) -> faces.Group:
        return faces.Group("age", "80_up", 1, 1, refused, Rate(0, 0), Rate(0, 0))

    found = faces.Fairness(group(Rate(20, 1000)), ())
    assert found.stands_out(group(Rate(20, 100)))
    assert not found.stands_out(group(Rate(1, 20)))
    assert not found.stands_out(group(Rate(0, 0)))
    assert not faces.Fairness(group(Rate(0, 0)), ()).stands_out(group(Rate(9, 9)))


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    # Newcombe (1998), table I, method 3 (score without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611),
     (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_intervals_are_those_of_the_literature(
    count: int, total: int, low: float, high: float
) -> None:
    assert Rate(count, total).interval == pytest.approx((low, high), abs=5e-5)
    assert Rate(0, 0).interval == (0.0, 1.0)
    assert Rate(total, total).interval[1] == 1.0


def test_people_are_added_up_per_controller_by_the_latest_count(
    node: TestNode, central: TestCentral
) -> None:
    counted = f.SubjectsCounted(controller="chain-9", subjects=79_999, references=80_100)
    add(node, central, counted)
    with central.database.read() as connection:
        assert [(c.controller, c.level) for c in faces.controllers(connection)] == [
            ("chain-9", "ok")
        ]
    add(node, central, counted.model_copy(update={"subjects": 80_000}))
    with central.database.read() as connection:
        (only,) = faces.controllers(connection)
    assert (only.subjects, only.nodes, only.level) == (80_000, 1, "warn")
    add(node, central, counted.model_copy(update={"subjects": 100_000}))
    with central.database.read() as connection:
        assert faces.controllers(connection)[0].level == "file"
        connection.exec_driver_sql(
            "INSERT INTO node_subjects VALUES ('node-b', 'chain-9', 5, 5, 1, 7, 'g', 'p')"
        )
        (both,) = faces.controllers(connection)
    assert (both.subjects, both.nodes, both.counted_at) == (100_005, 2, 7)


def test_a_suspected_attack_and_a_lock_are_listed_until_it_is_lifted(
    node: TestNode, central: TestCentral
) -> None:
    receipt = RECEIPT2.receipt
    suspected = f.AttackSuspected(
        session=None, receipt=receipt, subject_ref="d" * 64, camera="c", signals=("planarity",)
    )
    locked = f.FaceLocked(person_ref="d" * 64, suspicions=3, receipt=receipt)
    add(node, central, suspected, locked)

    def listed() -> list[tuple[str, str, str]]:
        with central.database.read() as connection:
            return [(r.code, r.subject, r.node) for r in faces.attacks(connection)]

    assert sorted(listed()) == [
        ("ATTACK_SUSPECTED", f"receipt {receipt}", IDENTITY.node),
        ("FACE_LOCKED", "credential " + "d" * 16, IDENTITY.node),
    ]
    add(node, central, f.FaceUnlocked(person_ref="d" * 64, attested_by="ph", receipt=receipt))
    assert [code for code, _, _ in listed()] == ["ATTACK_SUSPECTED"]
