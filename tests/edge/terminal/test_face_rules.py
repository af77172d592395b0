"""Before any camera is asked: children, locked credentials, limits; and what the verifier hears."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.session.limits import READ_AGAIN_NS, LimitsInForce
from edge.simulators.pharmacy import DAUGHTER, PATIENT, Person, PharmacyClient, line
from identity.policy import load_policy
from retention.records import payloads as p
from retention.records.clock import ManualClock
from retention.records.people import AttackSuspected, DecisionReceipt2, IdentityDecided2
from retention.store import duty, face_locks, log
from retention.store.database import NodeStore
from retention.store.sessions import insert_session
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.edge.terminal.test_terminal_flow import refused

CHILD = Person("张小宝", "430102201803077005")
TEENAGER = Person("张小哥", "430102201003077005")
UNKNOWN = Person("张无名", "E12345678")


def receipts_of(store: NodeStore, session: str) -> list[DecisionReceipt2]:
    with store.read() as connection:
        contents = [stored.parse().content() for stored in log.of_session(connection, session)]
    return [content.receipt for content in contents if isinstance(content, IdentityDecided2)]


# -- children -------------------------------------------------------------------------------------


def test_no_face_of_a_child_is_looked_at_and_the_guardian_is_verified_instead(
    counter: PharmacyClient, verifier: FakeVerifier, store: NodeStore
) -> None:
    opened = counter.open(CHILD)
    session = opened["session"]
    assert (opened["age_band"], opened["child"], opened["next_step"]) == (
        "under_14",
        True,
        "guardian",
    )
    answer = counter.verify(session)
    again = counter.verify(session)
    assert (answer["outcome"], answer["reasons"][0]["code"]) == ("REFER", "CHILD_NO_FACE")
    assert again["decided"] == answer["decided"]
    assert verifier.requests == []
    counter.basket(session)
    assert "CHILD_NO_FACE" in refused(counter.authorise, session).reasons

    counter.proxy(session, DAUGHTER, relation="parent")
    accepted = counter.verify(session)
    assert accepted["outcome"] == "ACCEPT"
    assert counter.authorise(session)["authorisation"]["proxy"] is True
    (asked,) = verifier.requests
    assert (asked.subject_role, asked.age_band) == ("proxy", "18_39")
    (looked, last) = receipts_of(store, session)
    assert (looked.age_band, looked.frames_seen, looked.camera) == ("under_14", 0, None)
    assert last.age_band == "18_39"


def test_a_child_is_not_attested_in_person_and_a_minor_is_no_guardian(
    counter: PharmacyClient, pharmacist: tuple[str, str]
) -> None:
    session = counter.open(CHILD)["session"]
    no = refused(counter.attest, session, *pharmacist)
    assert (no.status, no.code) == (409, "CHILD_NO_FACE")
    for minor in (TEENAGER, Person("张小妹", "430102201503077009")):
        young = refused(counter.proxy, session, minor)
        assert (young.status, young.code) == (422, "GUARDIAN_UNDER_AGE")
    assert counter.session(session)["proxy"] is None
    counter.proxy(session, UNKNOWN)
    counter.basket(session)
    counter.attest(session, *pharmacist)
    assert counter.authorise(session)["authorisation"]["proxy"] is True


def test_who_is_said_to_be_a_child_is_one_and_whose_document_says_otherwise_is_not(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    session = counter.open(UNKNOWN)["session"]
    assert counter.session(session)["age_band"] == "unknown"
    said = counter.call("POST", f"/v1/sessions/{session}/child")
    assert said["next_step"] == "guardian"
    assert counter.session(session)["child"] is True
    assert counter.verify(session)["reasons"][0]["code"] == "CHILD_NO_FACE"
    assert verifier.requests == []
    grown = counter.open(PATIENT)["session"]
    no = refused(counter.call, "POST", f"/v1/sessions/{grown}/child")
    assert (no.status, no.code) == (409, "INVALID_REQUEST")


def test_a_child_who_collects_for_somebody_is_not_looked_at_either(
    counter: PharmacyClient, verifier: FakeVerifier, pharmacist: tuple[str, str]
) -> None:
    session = counter.open(PATIENT)["session"]
    counter.proxy(session, CHILD)
    assert counter.verify(session)["reasons"][0]["code"] == "CHILD_NO_FACE"
    assert verifier.requests == []
    assert counter.attest(session, *pharmacist)["outcome"] == "ACCEPT"


def test_no_reference_is_made_of_a_child_and_its_consent_names_a_guardian(
    counter: PharmacyClient,
) -> None:
    no = refused(counter.consent, CHILD)
    assert (no.status, no.code) == (422, "INVALID_REQUEST")
    body = {
        "certificate": CHILD.certificate,
        "guardian": DAUGHTER.certificate,
        "purpose": "face_verification",
        "notice_version": "2026-11",
        "method": "signed_on_screen",
        "operator": "op-7",
    }
    consent = counter.call("POST", "/v1/consents", body)["consent"]
    no = refused(counter.enrol, consent, CHILD, b"picture" * 9)
    assert (no.status, no.code) == (409, "CHILD_NO_FACE")


# -- locks ----------------------------------------------------------------------------------------


def lock(store: NodeStore, person_ref: str) -> None:
    limits = load_policy().transaction
    for _ in range(limits.suspicions):
        suspected = AttackSuspected(
            session=None,
            receipt=store.ids.new(),
            subject_ref=person_ref,
            camera="till",
            signals=("planarity",),
        )
        with store.write() as connection:
            face_locks.suspect(store, connection, suspected, limits)


def test_a_locked_credential_is_not_looked_at_until_a_pharmacist_attests(
    counter: PharmacyClient,
    verifier: FakeVerifier,
    store: NodeStore,
    pharmacist: tuple[str, str],
) -> None:
    opened = counter.open()
    session, person_ref = opened["session"], opened["claim"]["person_ref"]
    lock(store, person_ref)
    answer = counter.verify(session)
    assert (answer["reasons"][0]["code"], answer["next_step"]) == ("FACE_LOCKED", "attest")
    assert counter.verify(session)["decided"] == answer["decided"]
    assert verifier.requests == []
    view = counter.session(session)
    assert (view["no_face"]["code"], view["attempts_left"]) == ("FACE_LOCKED", 0)

    counter.attest(session, *pharmacist)
    assert counter.session(session)["no_face"] is None
    with store.read() as connection:
        assert not face_locks.is_locked(connection, person_ref)
        kinds = [r["kind"] for r in connection.execute("SELECT kind FROM log ORDER BY sequence")]
    assert kinds[-2:] == ["identity.decided", "identity.face_unlocked"]
    assert counter.verify(session)["outcome"] == "ACCEPT"


def test_attesting_a_purchaser_opens_no_lock_of_the_patient(
    counter: PharmacyClient, store: NodeStore, pharmacist: tuple[str, str]
) -> None:
    opened = counter.open()
    lock(store, opened["claim"]["person_ref"])
    counter.proxy(opened["session"])
    counter.attest(opened["session"], *pharmacist)
    with store.read() as connection:
        assert face_locks.is_locked(connection, opened["claim"]["person_ref"])


# -- limits ---------------------------------------------------------------------------------------


def test_three_looks_in_a_minute_and_five_in_a_session(
    counter: PharmacyClient, verifier: FakeVerifier, clock: ManualClock
) -> None:
    verifier.outcome, verifier.reason = "RETRY", "BLURRED"
    session = counter.open()["session"]
    for _ in range(3):
        counter.verify(session)
    assert counter.verify(session)["reasons"][0]["code"] == "ATTEMPTS_EXHAUSTED"
    clock.advance(timedelta(seconds=61))
    assert counter.session(session)["attempts_left"] == 2
    for _ in range(2):
        assert counter.verify(session)["reasons"][0]["code"] == "BLURRED"
    clock.advance(timedelta(minutes=5))
    assert counter.verify(session)["reasons"][0]["code"] == "ATTEMPTS_EXHAUSTED"
    assert len(verifier.requests) == 5


def test_two_comparisons_end_a_session_whatever_the_time(
    counter: PharmacyClient, verifier: FakeVerifier, clock: ManualClock
) -> None:
    verifier.outcome, verifier.reason = "RETRY", "MISMATCH"
    session = counter.open()["session"]
    counter.verify(session)
    clock.advance(timedelta(minutes=3))
    counter.verify(session)
    clock.advance(timedelta(minutes=3))
    assert counter.verify(session)["reasons"][0]["code"] == "ATTEMPTS_EXHAUSTED"
    assert [request.comparisons for request in verifier.requests] == [0, 1]
    counter.proxy(session)
    verifier.outcome, verifier.reason = "ACCEPT", "MATCH"
    assert counter.verify(session)["outcome"] == "ACCEPT"
    assert verifier.requests[-1].comparisons == 0


def test_another_way_is_the_next_step_after_two_tries_that_led_to_nothing(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    counter.enrol(counter.consent(PATIENT)["consent"], PATIENT, b"picture" * 9)
    verifier.outcome, verifier.reason = "RETRY", "BLURRED"
    session = counter.open()["session"]
    assert counter.verify(session)["next_step"] == "verify"
    second = counter.verify(session)
    assert (second["next_step"], second["attempts_left"] > 0) == ("attest", True)


def test_the_verifier_hears_the_total_and_the_age(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    session = counter.open()["session"]
    counter.verify(session)
    counter.basket(session, [line(quantity="2", unit_price="600.00")])
    counter.verify(session)
    first, second = verifier.requests
    assert (first.amount, second.amount) == (None, "1200.00")
    assert (first.age_band, first.sex) == ("70_79", "female")


def test_a_basket_above_what_the_match_was_strong_enough_for_is_verified_again_or_attested(
    counter: PharmacyClient, verifier: FakeVerifier, pharmacist: tuple[str, str]
) -> None:
    verifier.amount_limit = "1000.00"
    session = counter.open()["session"]
    counter.verify(session)
    counter.basket(session, [line(unit_price="1000.01")])
    assert refused(counter.authorise, session).reasons == ("AMOUNT_TOO_HIGH",)
    assert counter.session(session)["next_step"] in ("verify", "enrol_or_attest")
    counter.attest(session, *pharmacist)
    assert counter.session(session)["next_step"] == "authorise"
    assert counter.authorise(session)["total"] == "1000.01"


def test_the_limits_are_those_of_the_policy_in_force_and_never_none(
    tmp_path: Path, clock: ManualClock
) -> None:
    built_in = load_policy().transaction
    good = LimitsInForce(config_for(tmp_path), clock)
    assert good.now() == built_in
    nowhere = {"camera": "till", "policy": tmp_path / "missing.toml"}
    refused_policy = LimitsInForce(config_for(tmp_path, verification=nowhere), clock)
    assert refused_policy.now() == built_in
    clock.advance(timedelta(microseconds=READ_AGAIN_NS // 1000))
    assert refused_policy.now() == built_in


# -- the pharmacist on duty -----------------------------------------------------------------------


@pytest.fixture
def watched(
    store: NodeStore, tmp_path: Path, verifier: FakeVerifier, served_with: Callable[..., str],
    terminal: Callable[..., PharmacyClient],
) -> PharmacyClient:  # fmt: skip
    config = config_for(tmp_path, presence={"required": True})
    return terminal(served_with(config))


def test_prescription_medicines_wait_for_a_pharmacist(
    watched: PharmacyClient, store: NodeStore, clock: ManualClock, pharmacist: tuple[str, str]
) -> None:
    session = watched.open()["session"]
    watched.verify(session)
    watched.basket(session)
    assert watched.authorise(session)["authorisation"]
    watched.basket(session, [line(prescription_required=True)])
    watched.prescription(session, valid_until=clock.now() + timedelta(days=1))
    assert refused(watched.authorise, session).reasons == ("PHARMACIST_ABSENT",)
    with store.write() as connection:
        duty.sign_in(store, connection, pharmacist[0], "counter-9", "secret", ("SECRET_CONFIRMED",))
    assert watched.authorise(session)["authorisation"]


# -- cameras --------------------------------------------------------------------------------------


def test_counters_with_cameras_of_their_own_do_not_wait_for_one_another(
    store: NodeStore, tmp_path: Path, verifier: FakeVerifier, served_with: Callable[..., str],
    terminal: Callable[..., PharmacyClient],
) -> None:  # fmt: skip
    cameras = [
        {"id": name, "scene_role": "purchase", "url": f"rtsp://127.0.0.1:1/{name}"}
        for name in ("till", "second")
    ]
    verification = {"camera": "till", "counters": {"counter-2": "second"}}
    address = served_with(config_for(tmp_path, cameras=cameras, verification=verification))
    first, second, third = (terminal(address, f"counter-{n}") for n in (1, 2, 3))
    sessions = [client.open()["session"] for client in (first, second, third)]
    verifier.hold = threading.Event()
    looking = threading.Thread(target=lambda: first.verify(sessions[0]))
    looking.start()
    try:
        assert verifier.entered.wait(30)
        assert refused(third.verify, sessions[2]).code == "BUSY"
        verifier.entered.clear()
        other = threading.Thread(target=lambda: second.verify(sessions[1]))
        other.start()
        assert verifier.entered.wait(30)
        verifier.hold.set()
        other.join(30)
    finally:
        verifier.hold.set()
        looking.join(30)
    assert {request.counter for request in verifier.requests} == {"counter-1", "counter-2"}


# -- consent and its words ------------------------------------------------------------------------


def test_a_consent_names_the_words_that_were_shown(
    counter: PharmacyClient, store: NodeStore
) -> None:
    shown = counter.call("GET", "/v1/notice")
    assert counter.consent(PATIENT)["consent"]
    with store.read() as connection:
        row = connection.execute("SELECT notice_version, notice_sha256 FROM consents").fetchone()
    assert (row["notice_version"], row["notice_sha256"]) == (shown["version"], shown["sha256"])


@pytest.mark.parametrize(
    ("version", "sha256", "status"),
    [
        ("2026-11", "0" * 64, 422),
        ("2026-01", None, 422),
        ("own-7", None, 422),
        ("own-7", "0" * 64, 201),
    ],
)
def test_nobody_agrees_to_unknown_words(
    counter: PharmacyClient, version: str, sha256: str | None, status: int
) -> None:
    body = {
        "certificate": PATIENT.certificate,
        "purpose": "face_verification",
        "notice_version": version,
        "notice_sha256": sha256,
        "method": "signed_on_screen",
        "operator": "op-7",
    }
    if status == 201:
        assert counter.call("POST", "/v1/consents", body)["consent"]
    else:
        assert refused(counter.call, "POST", "/v1/consents", body).status == status


def test_a_camera_enrols_only_whom_a_pharmacist_has_just_attested(
    counter: PharmacyClient, pharmacist: tuple[str, str]
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    session = counter.open()["session"]
    path = f"/v1/sessions/{session}/camera-reference"
    no = refused(counter.call, "POST", path, {"consent": consent})
    assert (no.status, no.code) == (409, "NO_DECISION")
    counter.verify(session)
    assert refused(counter.call, "POST", path, {"consent": consent}).code == "NO_DECISION"
    counter.attest(session, *pharmacist)
    assert counter.call("POST", path, {"consent": consent})["reference"]
    other = counter.consent(replace(PATIENT, number="43010219900307702X"))["consent"]
    assert refused(counter.call, "POST", path, {"consent": other}).code == "NO_CONSENT"


# -- what was begun before an upgrade -------------------------------------------------------------


def test_a_session_that_was_opened_by_the_version_before_goes_on(
    counter: PharmacyClient, store: NodeStore, pharmacist: tuple[str, str]
) -> None:
    known = counter.open(CHILD)
    with store.read() as connection:
        (record,) = log.of_session(connection, known["session"])
    content = record.parse().content()
    assert isinstance(content, p.SessionOpened)
    fields = {name: getattr(content, name) for name in p.SessionOpened.model_fields}
    session = store.ids.new()
    old = p.SessionOpened(**fields | {"session": session})
    form = p.ProxyDeclared(
        session=session,
        purchaser_ref="b" * 64,
        purchaser_display_name="张*",
        purchaser_cert_type="02",
        relation="daughter",
        reason="bed",
        patient_signature_sha256="d" * 64,
        purchaser_signature_sha256="d" * 64,
    )
    with store.write() as connection:
        insert_session(connection, session, "counter-1", store.clock.now())
        log.append(store, connection, old, counter="counter-1")
        log.append(store, connection, form, counter="counter-1")
    view = counter.session(session)
    assert (view["age_band"], view["child"], view["subject_role"]) == ("unknown", False, "proxy")
    assert counter.verify(session)["outcome"] == "ACCEPT"
    counter.basket(session)
    assert counter.attest(session, *pharmacist)["outcome"] == "ACCEPT"
    assert counter.authorise(session)["authorisation"]["proxy"] is True
