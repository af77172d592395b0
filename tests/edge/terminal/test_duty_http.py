"""The pharmacist on duty over the terminal API: by face, by secret, out again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from edge.config import EdgeConfig
from edge.duty import PURPOSE, pharmacist_ref
from edge.session.service import Caller
from edge.simulators.pharmacy import PharmacyClient, ProblemResponse
from edge.terminal import duty_actions, pharmacists
from edge.verifier.duty_protocol import DutyLooked
from edge.verifier.protocol import EnrolmentRefused, Request
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.records.envelope import parse_record
from retention.records.fields import Frozen
from retention.records.people import AttackSuspected
from retention.store import credentials, duty, face_locks, people
from retention.store.credentials import Checked
from retention.store.database import NodeStore
from retention.terms.problems import Refusal
from tests.edge.counter_kit import FakeVerifier


def refusal(call: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(ProblemResponse) as caught:
        call()
    return caught.value.status, caught.value.code


def by_secret(counter: PharmacyClient, secret: str | None = None) -> Any:
    body = {"pharmacist": "ph-3", "method": "secret", "secret": secret or "correct horse"}
    return counter.call("POST", "/v1/duty", body)


def by_face(counter: PharmacyClient, pharmacist: str = "ph-3") -> Any:
    return counter.call("POST", "/v1/duty", {"pharmacist": pharmacist, "method": "face"})


def kinds(store: NodeStore) -> list[str]:
    with store.read() as connection:
        rows = connection.execute("SELECT bytes FROM log ORDER BY sequence").fetchall()
    return [parse_record(row["bytes"]).kind for row in rows]


def seeing(store: NodeStore) -> Callable[[Request], Frozen]:
    """Answer as the verifier does when it sees them."""

    def look(request: Request) -> Frozen:
        with store.write() as connection:
            duty.sign_in(store, connection, "ph-3", request.counter, "face", ("MATCH",))
        return DutyLooked(accepted=True, reasons=("MATCH",))

    return look


def test_a_pharmacist_signs_in_confirms_and_signs_out_by_secret(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    store: NodeStore,
    clock: ManualClock,
    config: EdgeConfig,
) -> None:
    nobody = counter.call("GET", "/v1/duty")
    required = config.presence.required
    assert nobody == {"present": False, "required": required, "on_duty": []}

    signed_in = by_secret(counter)
    assert (signed_in["state"], signed_in["method"]) == ("present", "secret")
    assert signed_in["confirm_by"] is not None
    clock.advance(timedelta(hours=3))
    confirmed = by_secret(counter)
    assert confirmed["signed_in_at"] == signed_in["signed_in_at"]
    clock.advance(timedelta(hours=3))
    assert counter.call("GET", "/v1/duty")["present"] is True

    assert counter.call("DELETE", "/v1/duty/ph-3") == nobody
    assert kinds(store)[-2:] == ["pharmacist.signed_in", "pharmacist.signed_out"]


def test_a_wrong_secret_signs_nobody_in(
    counter: PharmacyClient, pharmacist: tuple[str, str], store: NodeStore
) -> None:
    assert refusal(lambda: by_secret(counter, "wrong horse")) == (403, "PHARMACIST_REFUSED")
    assert counter.call("GET", "/v1/duty")["on_duty"] == []


def test_a_confirmation_that_is_due_leaves_nobody_present(
    counter: PharmacyClient, pharmacist: tuple[str, str], clock: ManualClock
) -> None:
    by_secret(counter)
    clock.advance(timedelta(minutes=240, seconds=1))

    shown = counter.call("GET", "/v1/duty")

    assert shown["present"] is False
    assert shown["on_duty"][0]["state"] == "absent"
    assert shown["on_duty"][0]["confirm_by"] is None
    assert by_secret(counter)["state"] == "present"


def test_a_pharmacist_is_at_one_counter_and_signs_out_there(
    url: str,
    terminal: Callable[..., PharmacyClient],
    pharmacist: tuple[str, str],
) -> None:
    one, other = terminal(url, "counter-1"), terminal(url, "counter-2")
    by_secret(one)
    assert refusal(lambda: other.call("DELETE", "/v1/duty/ph-3")) == (404, "NOT_ON_DUTY")
    by_secret(other)

    assert [each["counter"] for each in one.call("GET", "/v1/duty")["on_duty"]] == ["counter-2"]
    assert refusal(lambda: one.call("DELETE", "/v1/duty/ph-3")) == (404, "NOT_ON_DUTY")
    other.call("DELETE", "/v1/duty/ph-3")


def test_a_face_that_is_seen_signs_in(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    verifier: FakeVerifier,
    store: NodeStore,
) -> None:
    verifier.answers_to = seeing(store)

    assert by_face(counter)["method"] == "face"
    assert counter.call("GET", "/v1/duty")["present"] is True


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (DutyLooked(accepted=False, reasons=("MISMATCH",)), (409, "PHARMACIST_NOT_SEEN")),
        (DutyLooked(accepted=False, reasons=("PLANAR_MOTION",)), (409, "PHARMACIST_NOT_SEEN")),
        (DutyLooked(accepted=False, reasons=("PHARMACIST_REFUSED",)), (403, "PHARMACIST_REFUSED")),
        (
            DutyLooked(accepted=False, reasons=("VERIFIER_UNAVAILABLE",)),
            (503, "VERIFIER_UNAVAILABLE"),
        ),
        (EnrolmentRefused(code="BUSY", detail=""), (409, "BUSY")),
        (EnrolmentRefused(code="DEADLINE", detail=""), (503, "VERIFIER_UNAVAILABLE")),
        (None, (503, "VERIFIER_UNAVAILABLE")),
    ],
)
def test_a_face_that_is_not_seen_signs_nobody_in_and_the_secret_still_does(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    verifier: FakeVerifier,
    answer: Frozen | None,
    expected: tuple[int, str],
) -> None:
    verifier.answers_to = None if answer is None else lambda _: answer

    assert refusal(lambda: by_face(counter)) == expected
    assert counter.call("GET", "/v1/duty")["on_duty"] == []
    assert by_secret(counter)["state"] == "present"


def test_a_credential_revoked_while_its_secret_was_checked_signs_nobody_in(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    store: NodeStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check = pharmacists.check

    def revoked_after(*asked: Any) -> Checked:
        checked = check(*asked)
        with store.write() as connection:
            assert credentials.revoke(store, connection, "pharmacists", "ph-3")
        return checked

    monkeypatch.setattr("edge.terminal.pharmacists.check", revoked_after)
    assert refusal(lambda: by_secret(counter)) == (403, "PHARMACIST_REFUSED")
    assert counter.call("GET", "/v1/duty")["on_duty"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"pharmacist": "ph-3", "method": "secret"},
        {"pharmacist": "ph-3", "method": "face", "secret": "correct horse"},
        {"pharmacist": "ph-3", "method": "voice"},
        {"pharmacist": "", "method": "face"},
    ],
)
def test_what_is_no_sign_in_is_refused(counter: PharmacyClient, body: dict[str, str]) -> None:
    assert refusal(lambda: counter.call("POST", "/v1/duty", body)) == (422, "INVALID_REQUEST")


def test_nobody_without_a_token_sees_or_signs_anybody(url: str) -> None:
    for method in ("GET", "POST"):
        assert (
            httpx.request(method, f"{url}/v1/duty", trust_env=False, timeout=30).status_code == 401
        )


def test_an_own_secret_ends_a_lock_of_their_own_face_alone(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    store: NodeStore,
    keys: KeyDirectory,
) -> None:
    own = pharmacist_ref(keys.secret("person"), "ph-3")
    somebody = "ab" * 32

    class Limits:
        suspicions, suspicion_minutes = 1, 10

    with store.write() as connection:
        for ref in (own, somebody):
            suspected = AttackSuspected(
                session=None,
                receipt=store.ids.new(),
                subject_ref=ref,
                camera="till",
                signals=("planarity",),
            )
            assert face_locks.suspect(store, connection, suspected, Limits())

    by_secret(counter)

    with store.read() as connection:
        assert not face_locks.is_locked(connection, own)
        assert face_locks.is_locked(connection, somebody)


def test_enrolling_wants_the_own_secret_and_leaves_a_consent_of_its_own(
    app: FastAPI, pharmacist: tuple[str, str], store: NodeStore
) -> None:
    parts = app.state.parts
    caller = Caller("terminal", "counter-1")
    ref = pharmacist_ref(parts.person_key, "ph-3")
    with pytest.raises(Refusal, match="PHARMACIST_REFUSED"):
        duty_actions.enrol(parts, caller, "ph-3", "wrong horse", b"picture")
    with store.read() as connection:
        assert people.standing_consent(connection, ref, PURPOSE) is None

    duty_actions.enrol(parts, caller, "ph-3", "correct horse", b"picture")
    with store.read() as connection:
        consent = people.standing_consent(connection, ref, PURPOSE)
        assert consent is not None
        assert people.standing_consent(connection, ref, "face_verification") is None
        assert people.latest_reference(connection, ref, store.clock.now()) is not None
    duty_actions.enrol(parts, caller, "ph-3", "correct horse", None)
    with store.read() as connection:
        again = people.standing_consent(connection, ref, PURPOSE)
    assert again == consent

    withdrawn = duty_actions.withdraw(parts, caller, "ph-3")

    assert [len(one.references) for one in withdrawn] == [2]
    with store.read() as connection:
        assert people.newest_reference(connection, ref) is None
    with pytest.raises(Refusal, match="CONSENT_UNKNOWN"):
        duty_actions.withdraw(parts, caller, "ph-3")
