"""The ways by a device: whom it confirms, what it is not believed, and what of it is recorded."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.config import EdgeConfig
from edge.simulators.pharmacy import (
    DAUGHTER,
    OTHER,
    PATIENT,
    PharmacyClient,
    ProblemResponse,
    line,
)
from hardware.simulated_devices import Control, DeviceService, Fault, SimulatedDevices, Somebody
from identity.policy import load_policy
from retention.records.people import AttackSuspected
from retention.records.signing import Ed25519Signer
from retention.store import face_locks
from retention.store.database import NodeStore
from tests.edge.counter_kit import FakeVerifier, config_for

WAYS = [
    ("certified-terminal", "certified_terminal", "TERMINAL_CONFIRMED"),
    ("fingerprint", "fingerprint", "FINGERPRINT_MATCHED"),
]


@pytest.fixture
def service() -> Iterator[DeviceService]:
    signer = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32))
    with DeviceService(SimulatedDevices(signer)) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, service: DeviceService) -> EdgeConfig:
    known = {
        "url": service.url, "public_key": service.devices.signer.public_key.hex(),
        "simulated": True, "timeout_seconds": 20,
    }  # fmt: skip
    kinds = ("certified_terminal", "fingerprint", "card_reader", "authority")
    return config_for(tmp_path, devices=dict.fromkeys(kinds, known))


def stands(service: DeviceService, kind: Any, number: str, fault: Fault | None = None) -> None:
    """Put somebody in front of a device."""
    service.devices.control(Control(kind=kind, person=Somebody(number=number), fault=fault))


def ask(counter: PharmacyClient, session: str, way: str) -> Any:
    return counter.call("POST", f"/v1/sessions/{session}/{way}")


def records(store: NodeStore) -> str:
    with store.read() as connection:
        return "".join(
            bytes(row[0]).decode() for row in connection.execute("SELECT bytes FROM log")
        )


@pytest.mark.parametrize(("way", "method", "reason"), WAYS)
def test_whom_a_device_confirms_may_settle_any_amount(
    counter: PharmacyClient, service: DeviceService, store: NodeStore,
    way: str, method: str, reason: str,
) -> None:  # fmt: skip
    session = counter.open()["session"]
    stands(service, method, PATIENT.number)
    decision = ask(counter, session, way)
    assert (decision["outcome"], decision["reasons"][0]["code"]) == ("ACCEPT", reason)
    receipt = decision["decided"]["receipt"]
    assert receipt["method"] == method
    assert receipt["device"] == f"simulated-{method.replace('_', '-')}"
    assert receipt["amount_limit"] is None
    counter.basket(session, [line(quantity="500")])
    assert counter.authorise(session)["authorisation"]["authorisation"]
    assert PATIENT.number not in records(store)


@pytest.mark.parametrize(("way", "method", "reason"), WAYS)
def test_somebody_else_at_the_device_is_a_mismatch_that_is_kept(
    counter: PharmacyClient, service: DeviceService, way: str, method: str, reason: str
) -> None:
    session = counter.open()["session"]
    stands(service, method, OTHER.number)
    decision = ask(counter, session, way)
    assert (decision["outcome"], decision["reasons"][0]["code"]) == ("REFER", "MISMATCH")
    stands(service, method, PATIENT.number, "refuse")
    assert ask(counter, session, way)["reasons"][0]["code"] == "DEVICE_REFUSED"
    kinds = [step["kind"] for step in counter.session(session)["steps"]]
    assert kinds.count("identity.decided") == 2


@pytest.mark.parametrize("fault", ["forged", "other_nonce", "other_kind", "nobody", "error"])
def test_a_device_that_cannot_be_relied_on_accepts_nobody(
    counter: PharmacyClient, service: DeviceService, fault: Fault
) -> None:
    session = counter.open()["session"]
    stands(service, "certified_terminal", PATIENT.number, fault)
    with pytest.raises(ProblemResponse) as caught:
        ask(counter, session, "certified-terminal")
    assert (caught.value.status, caught.value.code) == (503, "DEVICE_UNAVAILABLE")
    decision = counter.session(session)["decision"]
    assert decision["outcome"] == "REFER"
    assert decision["reasons"][0]["code"] == "DEVICE_UNAVAILABLE"


def test_of_a_proxy_the_purchaser_is_confirmed_and_not_the_patient(
    counter: PharmacyClient, service: DeviceService
) -> None:
    session = counter.open()["session"]
    counter.proxy(session, DAUGHTER)
    stands(service, "fingerprint", PATIENT.number)
    assert ask(counter, session, "fingerprint")["outcome"] == "REFER"
    stands(service, "fingerprint", DAUGHTER.number)
    assert ask(counter, session, "fingerprint")["outcome"] == "ACCEPT"


def test_a_child_is_not_confirmed_in_person(
    counter: PharmacyClient, service: DeviceService, store: NodeStore
) -> None:
    from dataclasses import replace

    child = replace(PATIENT, number=f"430102{store.clock.now():%Y}01010010")
    session = counter.open(child)["session"]
    stands(service, "fingerprint", child.number)
    with pytest.raises(ProblemResponse) as caught:
        ask(counter, session, "fingerprint")
    assert caught.value.status == 409
    assert service.devices.asked == []  # nor asked for a finger in vain


def test_another_kind_of_document_says_nothing_of_who_it_is(
    counter: PharmacyClient, service: DeviceService
) -> None:
    session = counter.open()["session"]
    person = Somebody(cert_type="03", number=PATIENT.number)
    service.devices.control(Control(kind="certified_terminal", person=person))
    decision = ask(counter, session, "certified-terminal")
    assert (decision["outcome"], decision["reasons"][0]["code"]) == ("REFER", "DEVICE_REFUSED")


def test_whoever_was_claimed_when_the_device_was_asked_is_whom_it_counts_for(
    counter: PharmacyClient, service: DeviceService
) -> None:
    session = counter.open()["session"]
    fault = Control(
        kind="fingerprint", person=Somebody(number=PATIENT.number), fault="timeout", seconds=1.5
    )
    service.devices.control(fault)
    found: list[ProblemResponse] = []

    def confirm() -> None:
        try:
            ask(counter, session, "fingerprint")
        except ProblemResponse as exc:
            found.append(exc)

    asking = threading.Thread(target=confirm)
    asking.start()
    while "fingerprint" not in service.devices.asked:
        asking.join(0.02)
    with pytest.raises(ProblemResponse) as busy:
        ask(counter, session, "fingerprint")
    assert busy.value.code == "BUSY"
    counter.proxy(session, DAUGHTER)
    asking.join(20)
    assert [problem.code for problem in found] == ["SUBJECT_CHANGED"]
    assert counter.session(session)["decision"] is None


def test_a_device_that_is_not_configured_is_said_to_be_so(
    terminal: Callable[..., PharmacyClient], store: NodeStore, verifier: FakeVerifier,
    keys: Any, tmp_path: Path,
) -> None:  # fmt: skip
    from edge.terminal.app import create_app
    from tests.serving import served

    app = create_app(store=store, verifier=verifier, keys=keys, config=config_for(tmp_path))
    with served(app) as address:
        client = terminal(address)
        with pytest.raises(ProblemResponse) as caught:
            ask(client, client.open()["session"], "fingerprint")
    assert (caught.value.status, caught.value.code) == (409, "METHOD_NOT_CONFIGURED")


# -- the card reader ------------------------------------------------------------------------------


def card(service: DeviceService, number: str, portrait: bytes | None) -> None:
    text = None if portrait is None else base64.b64encode(portrait).decode()
    person = Somebody(
        number=number, name="张小三", issued_at="2016-03-01T00:00:00.000000Z", portrait=text
    )
    service.devices.control(Control(kind="card_reader", person=person))


def test_a_card_opens_the_form_and_is_kept_nowhere(
    counter: PharmacyClient, service: DeviceService, store: NodeStore
) -> None:
    card(service, PATIENT.number, None)
    read = counter.call("POST", "/v1/card")
    assert read == {"cert_type": "02", "number": PATIENT.number, "name": "张小三"}
    assert PATIENT.number not in records(store)
    service.devices.control(Control(kind="card_reader"))
    with pytest.raises(ProblemResponse) as caught:
        counter.call("POST", "/v1/card")
    assert caught.value.code == "DEVICE_REFUSED"


def test_the_portrait_on_the_subjects_own_card_becomes_the_reference(
    counter: PharmacyClient, service: DeviceService, store: NodeStore
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    session = counter.open()["session"]
    card(service, PATIENT.number, b"\xff\xd8 a portrait")
    made = counter.call("POST", f"/v1/sessions/{session}/card-reference", {"consent": consent})
    with store.read() as connection:
        row = connection.execute("SELECT id, source FROM reference_templates").fetchone()
    assert tuple(row) == (made["reference"], "id_card_chip")


def test_another_persons_card_or_one_without_a_portrait_enrols_nobody(
    counter: PharmacyClient, service: DeviceService, store: NodeStore
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    session = counter.open()["session"]
    for number, portrait, code in (
        (OTHER.number, b"\xff\xd8", "RECEIPT_OTHER_CLAIM"),
        (PATIENT.number, None, "IMAGE_REFUSED"),
    ):
        card(service, number, portrait)
        with pytest.raises(ProblemResponse) as caught:
            counter.call("POST", f"/v1/sessions/{session}/card-reference", {"consent": consent})
        assert caught.value.code == code
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM reference_templates").fetchone()[0] == 0


# -- the authority's portraits --------------------------------------------------------------------


def on_record(
    service: DeviceService, number: str, fault: Fault | None = None, seconds: float = 5
) -> None:
    portrait = base64.b64encode(b"\xff\xd8 official").decode()
    person = Somebody(number=number, issued_at="2020-05-01T00:00:00.000000Z", portrait=portrait)
    control = Control(kind="authority", person=person, fault=fault, seconds=seconds)
    service.devices.control(control)


def from_authority(counter: PharmacyClient, session: str, consent: str, number: str) -> Any:
    body = {
        "consent": consent, "certificate": {"type": "02", "number": number}, "name": PATIENT.name,
    }  # fmt: skip
    return counter.call("POST", f"/v1/sessions/{session}/authority-reference", body)


def test_an_authority_gives_the_subjects_portrait_once_they_agreed(
    counter: PharmacyClient, service: DeviceService, store: NodeStore
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    session = counter.open()["session"]
    on_record(service, PATIENT.number)
    made = from_authority(counter, session, consent, PATIENT.number)
    with store.read() as connection:
        row = connection.execute("SELECT id, source FROM reference_templates").fetchone()
    assert tuple(row) == (made["reference"], "authority_portrait")
    assert PATIENT.number not in records(store)


def test_an_authority_is_asked_about_nobody_but_the_subject_who_agreed(
    counter: PharmacyClient, service: DeviceService
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    session = counter.open()["session"]
    on_record(service, OTHER.number)
    with pytest.raises(ProblemResponse) as other:
        from_authority(counter, session, consent, OTHER.number)
    assert other.value.code == "RECEIPT_OTHER_CLAIM"
    with pytest.raises(ProblemResponse) as unasked:
        from_authority(counter, session, counter.consent(OTHER)["consent"], PATIENT.number)
    assert unasked.value.code == "NO_CONSENT"
    assert service.devices.asked == []


@pytest.mark.parametrize(
    ("number", "fault", "code"),
    [
        (OTHER.number, None, "DEVICE_REFUSED"),
        (PATIENT.number, "forged", "DEVICE_UNAVAILABLE"),
        (PATIENT.number, "other_person", "DEVICE_UNAVAILABLE"),
        (PATIENT.number, "nobody", "DEVICE_UNAVAILABLE"),
    ],
)
def test_what_an_authority_does_not_tell_of_the_subject_enrols_nobody(
    counter: PharmacyClient, service: DeviceService, store: NodeStore,
    number: str, fault: Fault | None, code: str,
) -> None:  # fmt: skip
    consent = counter.consent(PATIENT)["consent"]
    session = counter.open()["session"]
    on_record(service, number, fault)
    with pytest.raises(ProblemResponse) as caught:
        from_authority(counter, session, consent, PATIENT.number)
    assert caught.value.code == code
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM reference_templates").fetchone()[0] == 0


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.7:80", "http://127.0.0.1:80@authority.example/", "http://localhost.example"],
)
def test_an_authority_that_is_not_on_this_machine_needs_tls(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        config_for(tmp_path, devices={"authority": {"url": url, "public_key": "00" * 32}})


@pytest.mark.parametrize("url", ["https://authority.example", "http://localhost", "http://[::1]:8"])
def test_an_authority_over_tls_or_on_this_machine_is_asked(tmp_path: Path, url: str) -> None:
    config_for(tmp_path, devices={"authority": {"url": url, "public_key": "00" * 32}})


@pytest.mark.parametrize(("typed", "kept"), [("x", "X"), ("X", "x")])
def test_a_check_digit_that_is_written_small_is_the_same_person(
    counter: PharmacyClient, service: DeviceService, typed: str, kept: str
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    session = counter.open()["session"]
    on_record(service, PATIENT.number[:-1] + kept)
    assert from_authority(counter, session, consent, PATIENT.number[:-1] + typed)["reference"]


def test_an_uploaded_picture_does_not_pass_for_an_authoritys(
    counter: PharmacyClient, store: NodeStore
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    with pytest.raises(ProblemResponse) as caught:
        counter.enrol(consent, PATIENT, b"\xff\xd8 mine", source="authority_portrait")
    assert (caught.value.status, caught.value.code) == (422, "INVALID_REQUEST")
    with store.read() as connection:
        assert connection.execute("SELECT count(*) FROM reference_templates").fetchone()[0] == 0


def test_an_authority_is_not_asked_about_whom_no_face_may_be_kept_of_now(
    counter: PharmacyClient, service: DeviceService, store: NodeStore
) -> None:
    given = counter.consent(PATIENT)
    session = counter.open()["session"]
    on_record(service, PATIENT.number)
    with store.write() as connection:
        for _ in range(load_policy().transaction.suspicions):
            suspicion = AttackSuspected(
                session=None, receipt=store.ids.new(), subject_ref=given["person_ref"],
                camera="till", signals=("planarity",),
            )  # fmt: skip
            face_locks.suspect(store, connection, suspicion, load_policy().transaction)
    with pytest.raises(ProblemResponse) as locked:
        from_authority(counter, session, given["consent"], PATIENT.number)
    assert locked.value.code == "FACE_LOCKED"
    counter.withdraw(given["consent"])
    with pytest.raises(ProblemResponse) as withdrawn:
        from_authority(counter, session, given["consent"], PATIENT.number)
    assert withdrawn.value.code == "NO_CONSENT"
    assert service.devices.asked == []


@pytest.mark.parametrize("change", ["withdrawn", "other_subject", "closed"])
def test_what_changes_while_an_authority_is_asked_counts(
    counter: PharmacyClient, service: DeviceService, store: NodeStore, change: str
) -> None:
    given = counter.consent(PATIENT)
    session = counter.open()["session"]
    on_record(service, PATIENT.number, "timeout", seconds=1.5)
    found: list[str] = []

    def enrol() -> None:
        try:
            from_authority(counter, session, given["consent"], PATIENT.number)
            found.append("enrolled")
        except ProblemResponse as exc:
            found.append(exc.code)

    asking = threading.Thread(target=enrol)
    asking.start()
    while "authority" not in service.devices.asked:
        asking.join(0.02)
    if change == "withdrawn":
        counter.withdraw(given["consent"])
    elif change == "closed":
        counter.close(session, "abandoned")
    else:
        counter.proxy(session, DAUGHTER)
    asking.join(20)
    with store.read() as connection:
        rows = connection.execute("SELECT person_ref FROM reference_templates").fetchall()
    kept = [row["person_ref"] for row in rows]
    if change == "withdrawn":
        assert (found, kept) == (["NO_CONSENT"], [])
    else:  # theirs all the same: they agreed, and the authority told of nobody else
        assert (found, kept) == (["enrolled"], [given["person_ref"]])
