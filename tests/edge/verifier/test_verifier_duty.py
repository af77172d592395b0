"""Looking for whoever signed in: when, at whom, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge.config import EdgeConfig
from edge.duty import PURPOSE, lapse, pharmacist_ref
from edge.terminal import pharmacists
from edge.verifier.duty import DutyWatch, camera_of, said_by
from edge.verifier.duty_protocol import DutyLooked, SignInByFace
from edge.verifier.method import FaceMethodOff
from identity.decision import Decision, FaceEvidence, Outcome
from identity.liveness.signals import Signal, Verdict
from identity.presence import Looked
from retention.records.clock import ManualClock
from retention.records.envelope import parse_record
from retention.records.ids import SeededIds
from retention.records.payloads import ConsentGiven
from retention.store import credentials, duty, people
from retention.store.database import NodeStore
from retention.store.duty import DutyRow
from tests.conftest import IDENTITY
from tests.edge.counter_kit import config_for

DIGEST = "0" * 64
CAMERAS = [
    {"id": one, "scene_role": "purchase", "url": "rtsp://127.0.0.1:1/stream"}
    for one in ("till", "back")
]


def decision(outcome: Outcome, *reasons: str, reference: str | None = None) -> Decision:
    now = ManualClock().now()
    grounds = FaceEvidence(
        comparison_score=0.9,
        threshold=0.5,
        band="accept",
        comparisons=1,
        frames_seen=20,
        frames_used=5,
        false_match_rate_target=Decimal("0.0001"),
        liveness=(Signal("planarity", Verdict.PASS, 1.0, 0.5, None),),
        required=("planarity",),
    )
    return Decision(
        outcome=outcome,
        reasons=reasons,
        policy_name="counter",
        policy_digest=DIGEST,
        started_at=now,
        decided_at=now,
        evidence=grounds,
        reference_id=reference,
    )


@dataclass
class Eyes:
    """The worker of one camera that sees what it is told to."""

    config: EdgeConfig
    store: NodeStore
    camera: str = "till"
    sees: Callable[[str], Decision | None] = lambda _: decision(Outcome.REFER, "NO_FACE")
    during: Callable[[], object] = lambda: None
    looked_for: list[tuple[str, bool]] = field(default_factory=list)

    def look(self, person_ref: str, counter: str, *, gives_way: bool = False) -> Decision | None:
        self.looked_for.append((person_ref, gives_way))
        found = self.sees(person_ref)
        self.during()
        return found


class Place:
    """A node with two pharmacists, and its eyes."""

    def __init__(self, data: Path, **presence: Any) -> None:
        self.clock = ManualClock()
        config = config_for(data, cameras=CAMERAS, presence=presence)
        self.store = NodeStore(data / "node.sqlite3", IDENTITY, self.clock, SeededIds())
        self.eyes = Eyes(config, self.store)
        self.config = config
        self.key = config.keys().secret("person")
        self.consents: dict[str, str] = {}
        self.references: dict[str, str] = {}
        with self.store.write() as connection:
            for name in ("ph-1", "ph-2"):
                credentials.put(connection, "pharmacists", name, "scrypt", self.clock.now())

    def watch(self, share: float = 0.5) -> DutyWatch:
        return DutyWatch(self.eyes, lambda low, high: low + (high - low) * share)

    def enrol(self, pharmacist: str) -> None:
        ref = pharmacist_ref(self.key, pharmacist)
        given = ConsentGiven(
            consent=self.store.ids.new(),
            person_ref=ref,
            purpose=PURPOSE,
            notice_version="2026-01",
            method="own_secret",
            operator=pharmacist,
        )
        now = self.clock.now()
        reference = people.Reference(
            id=self.store.ids.new(),
            person_ref=ref,
            consent=given.consent,
            contract_id=DIGEST,
            source="counter_camera",
            key_id="k",
            nonce=b"n" * 12,
            sealed=b"sealed",
            enrolled_at=now,
            expires_at=now + timedelta(days=365),
        )
        with self.store.write() as connection:
            people.give_consent(self.store, connection, given, counter="till")
            people.insert_reference(self.store, connection, reference, counter="till")
        self.consents[pharmacist], self.references[pharmacist] = given.consent, reference.id

    def seen(self, pharmacist: str) -> Callable[[str], Decision]:
        return lambda _: decision(Outcome.ACCEPT, "MATCH", reference=self.references[pharmacist])

    def withdraw(self, pharmacist: str) -> None:
        with self.store.write() as connection:
            consent = people.read_consent(connection, self.consents[pharmacist])
            assert consent is not None
            people.withdraw_consent(self.store, connection, consent, counter="till")

    def sign_in(
        self, watch: DutyWatch, pharmacist: str = "ph-1", counter: str = "till"
    ) -> DutyLooked:
        answer = watch.answer(SignInByFace(counter=counter, pharmacist=pharmacist))
        assert isinstance(answer, DutyLooked)
        return answer

    def row(self, pharmacist: str = "ph-1") -> DutyRow | None:
        with self.store.read() as connection:
            return duty.read(connection, pharmacist)

    def state(self, pharmacist: str = "ph-1") -> str | None:
        row = self.row(pharmacist)
        return None if row is None else row.state

    def pass_by(self, watch: DutyWatch, seconds: float, every: float = 1.0) -> None:
        for _ in range(int(seconds / every)):
            self.clock.advance(timedelta(seconds=every))
            watch.step()

    def said(self) -> list[str]:
        with self.store.read() as connection:
            rows = connection.execute(
                "SELECT bytes FROM log WHERE kind LIKE 'pharmacist.%' ORDER BY sequence"
            ).fetchall()
        found = [parse_record(row["bytes"]) for row in rows]
        return [
            record.kind.removeprefix("pharmacist.")
            + "".join(f" {record.payload[k]}" for k in ("state", "cause") if k in record.payload)
            for record in found
        ]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    made.enrol("ph-1")
    yield made
    made.store.close()


def test_whoever_is_seen_is_on_duty_and_nobody_else_was_looked_for(place: Place) -> None:
    place.enrol("ph-2")
    place.eyes.sees = place.seen("ph-1")

    answer = place.sign_in(place.watch())

    assert (answer.accepted, answer.reasons) == (True, ("MATCH",))
    row = place.row()
    assert row is not None
    assert (row.state, row.method, row.counter) == ("present", "face", "till")
    assert place.eyes.looked_for == [(pharmacist_ref(place.key, "ph-1"), False)]


@pytest.mark.parametrize("reason", ["MISMATCH", "PLANAR_MOTION", "INTERNAL_ERROR"])
def test_whoever_is_not_accepted_is_not_on_duty(place: Place, reason: str) -> None:
    place.eyes.sees = lambda _: decision(Outcome.REFER, reason)

    answer = place.sign_in(place.watch())

    assert (answer.accepted, answer.reasons) == (False, (reason,))
    assert place.row() is None


def test_a_failed_sign_in_says_nothing_against_who_is_on_duty(place: Place) -> None:
    watch = place.watch()
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(watch)
    before = place.row()
    place.eyes.sees = lambda _: decision(Outcome.REFER, "MISMATCH")

    assert not place.sign_in(watch, counter="other").accepted

    assert place.row() == before


def test_a_stranger_is_not_compared_again_and_again(place: Place) -> None:
    watch = place.watch()
    place.eyes.sees = lambda _: decision(Outcome.REFER, "MISMATCH")
    said = [place.sign_in(watch).reasons for _ in range(3)]
    assert said == [("MISMATCH",), ("MISMATCH",), ("ATTEMPTS_EXHAUSTED",)]
    assert len(place.eyes.looked_for) == 2

    place.clock.advance(timedelta(hours=1))
    place.eyes.sees = place.seen("ph-1")
    assert place.sign_in(watch).accepted


def test_a_look_that_compared_nobody_is_no_try(place: Place) -> None:
    watch = place.watch()
    nobody = decision(Outcome.REFER, "NO_FACE")
    unseen = replace(nobody, evidence=replace(nobody.evidence, comparison_score=None))
    place.eyes.sees = lambda _: unseen
    assert {place.sign_in(watch).reasons for _ in range(4)} == {("NO_FACE",)}


def test_an_unknown_or_revoked_pharmacist_is_not_looked_at(place: Place) -> None:
    with place.store.write() as connection:
        connection.execute("UPDATE pharmacists SET revoked_at = 1 WHERE id = 'ph-1'")

    for name in ("ph-1", "ph-9"):
        assert place.sign_in(place.watch(), name).reasons == ("PHARMACIST_REFUSED",)
    assert place.eyes.looked_for == []


def test_a_consent_withdrawn_while_we_looked_undoes_the_look(place: Place) -> None:
    place.eyes.sees = place.seen("ph-1")
    place.eyes.during = lambda: place.withdraw("ph-1")

    answer = place.sign_in(place.watch())

    assert (answer.accepted, answer.reasons) == (False, ("NO_CONSENT",))
    assert place.row() is None


def test_a_reference_replaced_while_we_looked_undoes_the_look(place: Place) -> None:
    seen = place.seen("ph-1")("")
    place.clock.advance(timedelta(seconds=1))
    place.eyes.sees, place.eyes.during = (lambda _: seen), lambda: place.enrol("ph-1")

    assert not place.sign_in(place.watch()).accepted
    assert place.row() is None


def test_a_credential_revoked_while_we_looked_undoes_the_look(place: Place) -> None:
    def revoke() -> None:
        with place.store.write() as connection:
            connection.execute("UPDATE pharmacists SET revoked_at = 1 WHERE id = 'ph-1'")

    place.eyes.sees, place.eyes.during = place.seen("ph-1"), revoke

    assert place.sign_in(place.watch()).reasons == ("PHARMACIST_REFUSED",)
    assert place.row() is None


def test_a_method_that_is_off_or_a_look_cut_short_accepts_nobody(place: Place) -> None:
    def off(_: str) -> Decision:
        raise FaceMethodOff("told so")

    for sees in (off, lambda _: None):
        place.eyes.sees = sees
        assert place.sign_in(place.watch()).reasons == ("VERIFIER_UNAVAILABLE",)
    assert place.row() is None


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 60), (0.5, 120), (1.0, 180)])
def test_they_are_looked_for_again_after_a_random_time_and_only_they(
    place: Place, share: float, seconds: int
) -> None:
    place.enrol("ph-2")
    watch = place.watch(share)
    watch.step()
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(watch)
    place.eyes.looked_for.clear()

    place.pass_by(watch, seconds)
    assert place.eyes.looked_for == []
    place.pass_by(watch, 2)

    assert place.eyes.looked_for == [(pharmacist_ref(place.key, "ph-1"), True)]
    assert place.said() == ["signed_in"]


def test_who_leaves_becomes_doubtful_then_absent_and_present_again_when_seen(place: Place) -> None:
    watch = place.watch()
    watch.step()
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(watch)
    place.eyes.sees = lambda _: decision(Outcome.REFER, "NO_FACE")

    place.pass_by(watch, 119)
    assert place.state() == "present"
    place.pass_by(watch, 10)
    assert place.state() == "doubtful"
    place.pass_by(watch, 160)
    assert place.state() == "doubtful"
    place.pass_by(watch, 20)
    assert place.state() == "absent"
    place.eyes.sees = place.seen("ph-1")
    place.pass_by(watch, 130)

    assert place.state() == "present"
    assert place.said() == [
        "signed_in",
        "presence absent",
        "presence present",
    ]


def test_a_customer_comes_first_and_the_look_comes_soon_after(place: Place) -> None:
    watch = place.watch()
    watch.step()
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(watch)
    place.eyes.looked_for.clear()
    place.eyes.sees = lambda _: None

    place.pass_by(watch, 155)

    assert place.state() == "present"
    assert len(place.eyes.looked_for) == 4
    row = place.row()
    assert row is not None
    assert row.missed == 0


def test_a_start_of_the_verifier_doubts_whoever_was_known_by_face_and_looks_at_once(
    place: Place,
) -> None:
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(place.watch())
    place.eyes.looked_for.clear()
    place.eyes.sees = lambda _: decision(Outcome.REFER, "NO_FACE")

    place.watch().step()

    assert len(place.eyes.looked_for) == 1
    row = place.row()
    assert row is not None
    assert (row.state, row.missed) == ("doubtful", 1)


def test_a_start_of_the_verifier_doubts_even_when_a_customer_comes_first(place: Place) -> None:
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(place.watch())
    place.eyes.sees = lambda _: None

    place.watch().step()

    row = place.row()
    assert row is not None
    assert (row.state, row.missed, row.reasons) == ("doubtful", 0, ("NODE_RESTARTED",))


def test_a_look_that_ends_after_they_signed_in_anew_says_nothing_any_more(place: Place) -> None:
    watch = place.watch()
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(watch)
    place.clock.advance(timedelta(seconds=1))

    def again() -> None:
        with place.store.write() as connection:
            duty.sign_in(place.store, connection, "ph-1", "till", "face", ("MATCH",))

    place.eyes.sees, place.eyes.during = (lambda _: decision(Outcome.REFER, "NO_FACE")), again
    watch.step()

    row = place.row()
    assert row is not None
    assert (row.state, row.missed) == ("present", 0)


def test_a_pharmacist_revoked_and_added_again_while_looked_at_is_not_signed_in(
    place: Place,
) -> None:
    place.enrol("ph-1")
    keys = place.config.keys()

    def leave_and_return() -> None:
        revoked = pharmacists.revoke(
            place.store, "ph-1", person_key=place.key, signer=keys.signer()
        )
        assert revoked is not None
        with place.store.write() as connection:
            credentials.put(connection, "pharmacists", "ph-1", "scrypt", place.clock.now())

    place.eyes.sees, place.eyes.during = place.seen("ph-1"), leave_and_return

    assert place.sign_in(place.watch()) == DutyLooked(accepted=False, reasons=("NO_CONSENT",))
    assert place.row() is None


def test_who_signed_in_by_secret_is_not_looked_for(place: Place) -> None:
    with place.store.write() as connection:
        duty.sign_in(place.store, connection, "ph-1", "till", "secret", ("SECRET_CONFIRMED",))

    place.pass_by(place.watch(), 1000, every=20)

    assert place.eyes.looked_for == []
    assert place.state() == "present"


def test_a_look_that_ends_after_a_secret_was_given_says_nothing_any_more(place: Place) -> None:
    watch = place.watch()
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(watch)

    def confirm() -> None:
        with place.store.write() as connection:
            duty.sign_in(place.store, connection, "ph-1", "till", "secret", ("SECRET_CONFIRMED",))

    place.eyes.sees, place.eyes.during = (lambda _: decision(Outcome.REFER, "NO_FACE")), confirm
    watch.step()

    row = place.row()
    assert row is not None
    assert (row.state, row.method, row.missed) == ("present", "secret", 0)


def test_each_camera_looks_only_for_those_whose_place_it_films(tmp_path: Path) -> None:
    place = Place(tmp_path, camera="back")
    assert camera_of(place.config, "till") == "back"
    assert camera_of(config_for(tmp_path), "till") == "till"
    place.enrol("ph-1")
    place.eyes.sees = place.seen("ph-1")
    place.sign_in(place.watch())
    place.eyes.looked_for.clear()

    place.pass_by(place.watch(), 300)
    assert place.eyes.looked_for == []
    place.eyes.camera = "back"
    place.watch().step()
    assert len(place.eyes.looked_for) == 1
    place.store.close()


def test_a_revoked_credential_and_a_forgotten_one_are_signed_out(place: Place) -> None:
    with place.store.write() as connection:
        duty.sign_in(place.store, connection, "ph-1", "till", "secret", ("SECRET_CONFIRMED",))
        duty.sign_in(place.store, connection, "ph-2", "till", "secret", ("SECRET_CONFIRMED",))
        connection.execute("UPDATE pharmacists SET revoked_at = 1 WHERE id = 'ph-2'")

    assert lapse(place.store, place.config.presence) == 1
    assert place.row("ph-2") is None
    assert lapse(place.store, place.config.presence) == 0
    place.clock.advance(timedelta(hours=5))
    assert lapse(place.store, place.config.presence) == 1
    assert place.state() == "absent"
    place.clock.advance(timedelta(hours=7))
    assert lapse(place.store, place.config.presence) == 1
    assert place.row() is None
    assert place.said()[2:] == ["signed_out revoked", "presence absent", "signed_out expired"]


@pytest.mark.parametrize(
    ("reasons", "result"),
    [
        (("NO_FACE",), "not_seen"),
        (("MISMATCH",), "not_seen"),
        (("CAMERA_UNAVAILABLE",), "unsure"),
        (("REFERENCE_MISSING",), "unsure"),
        (("FACE_LOCKED",), "unsure"),
        (("PASSIVE_SPOOF",), "suspected"),
        (("STATIC_INPUT", "PLANAR_MOTION"), "suspected"),
        (("STATIC_INPUT",), "unsure"),
    ],
)
def test_only_an_accepted_look_sees_anybody(reasons: tuple[str, ...], result: str) -> None:
    assert said_by(decision(Outcome.REFER, *reasons)) == Looked(result, reasons)  # type: ignore[arg-type]
    assert said_by(decision(Outcome.RETRY, *reasons)).result == result
    assert said_by(decision(Outcome.ACCEPT, "MATCH", reference="r")).result == "seen"
