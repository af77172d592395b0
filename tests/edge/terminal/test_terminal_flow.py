"""The counter's day through the API: every way to a settlement, and every way to be refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from edge.config import EdgeConfig
from edge.platform.nhsa import NhsaPlatform
from edge.simulators.pharmacy import (
    DAUGHTER,
    OTHER,
    PATIENT,
    PharmacyClient,
    ProblemResponse,
    line,
)
from edge.simulators.platform import create_platform
from edge.terminal.app import create_app
from edge.verifier.protocol import EnrolmentRefused
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.store.database import NodeStore
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.serving import served

NOBODY = "01976f00-0000-7000-8000-00000000dead"


def refused(call: Callable[..., Any], *arguments: Any, **named: Any) -> ProblemResponse:
    with pytest.raises(ProblemResponse) as caught:
        call(*arguments, **named)
    body = caught.value.body
    assert body["title"]
    assert body["instance"].startswith("/v1/")
    assert body["status"] == caught.value.status
    return caught.value


def ready_to_settle(counter: PharmacyClient) -> tuple[str, str]:
    """Return a session and its authorisation."""
    session = counter.open()["session"]
    counter.verify(session)
    counter.basket(session)
    return session, counter.authorise(session)["authorisation"]["authorisation"]


# -- the main job ---------------------------------------------------------------------------------


def test_a_verified_person_is_permitted_settles_and_closes(counter: PharmacyClient) -> None:
    consent = counter.consent(PATIENT)
    assert counter.enrol(consent["consent"], PATIENT, b"picture" * 9)["reference"]
    view = counter.open()
    session = view["session"]
    assert view["claim"]["display_name"] == "张*三"
    assert view["next_step"] == "verify"

    decision = counter.verify(session)
    assert decision["outcome"] == "ACCEPT"
    assert decision["reasons"][0]["title"] == "人证相符"
    assert counter.session(session)["next_step"] == "basket"
    assert counter.basket(session, [line(quantity="3")])["next_step"] == "authorise"
    given = counter.authorise(session)
    assert given["total"] == "55.50"
    assert counter.authorise(session) == given
    assert counter.session(session)["next_step"] == "settle"
    report = counter.report(session, given["authorisation"]["authorisation"])
    assert (report["stage"], report["mode"]) == ("settled", "external")
    closed = counter.close(session)
    assert (closed["state"], closed["next_step"]) == ("closed", "closed")
    assert [step["kind"] for step in closed["steps"]] == [
        "session.opened",
        "identity.decided",
        "session.basket",
        "session.authorised",
        "settlement.concluded",
        "session.closed",
    ]
    assert [one["session"] for one in counter.sessions()] == [session]


def test_a_person_who_does_not_match_is_refused_with_the_reason(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    verifier.outcome, verifier.reason = "REFER", "MISMATCH"
    session = counter.open()["session"]
    decision = counter.verify(session)
    assert (decision["outcome"], decision["next_step"]) == ("REFER", "attest")
    no = refused(counter.authorise, session)
    assert (no.status, no.reasons) == (409, ("RECEIPT_NOT_ACCEPT", "BASKET_EMPTY"))
    assert "session.refused" in [step["kind"] for step in counter.session(session)["steps"]]


def test_a_proxy_is_verified_by_document_and_marked(
    counter: PharmacyClient, verifier: FakeVerifier, pharmacist: tuple[str, str]
) -> None:
    session = counter.open()["session"]
    view = counter.proxy(session, DAUGHTER)
    assert view["proxy"]["purchaser_display_name"] == "张*"
    assert view["subject_role"] == "proxy"
    counter.basket(session)
    decided = counter.attest(session, *pharmacist)["decided"]["receipt"]
    assert (decided["method"], decided["subject_role"]) == ("document_attested", "proxy")
    assert decided["subject_ref"] == view["proxy"]["purchaser_ref"]
    assert decided["attested_by"] == "ph-3"
    assert counter.authorise(session)["authorisation"]["proxy"] is True
    assert verifier.requests == []


def test_after_the_form_the_camera_looks_for_the_purchaser_never_the_patient(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    view = counter.open()
    session = view["session"]
    counter.verify(session)
    form = counter.proxy(session)["proxy"]
    counter.basket(session)
    assert "PROXY_NOT_VERIFIED" in refused(counter.authorise, session).reasons
    counter.verify(session)
    asked = [(r.subject_ref, r.subject_role) for r in verifier.requests]
    assert asked == [
        (view["claim"]["person_ref"], "patient"),
        (form["purchaser_ref"], "proxy"),
    ]
    assert counter.authorise(session)["authorisation"]["proxy"] is True


def test_an_incomplete_form_is_refused_with_the_missing_items(counter: PharmacyClient) -> None:
    session = counter.open()["session"]
    no = refused(counter.proxy, session, relation=None, reason="  ", certificate=None)
    assert (no.status, no.code) == (422, "PROXY_FORM_INCOMPLETE")
    assert sorted(no.body["missing"]) == ["certificate", "reason", "relation"]
    assert refused(counter.proxy, session, PATIENT).code == "INVALID_REQUEST"


def test_a_prescription_line_is_refused_with_all_that_is_wrong(
    counter: PharmacyClient, clock: ManualClock
) -> None:
    session = counter.open()["session"]
    counter.verify(session)
    counter.basket(session, [line(prescription_required=True)])
    assert counter.session(session)["next_step"] == "prescription"
    assert refused(counter.authorise, session).reasons == ("PRESCRIPTION_MISSING",)
    counter.prescription(session, OTHER, valid_until=clock.now())
    wrong = ("PRESCRIPTION_EXPIRED", "PRESCRIPTION_OTHER_PATIENT")
    assert refused(counter.authorise, session).reasons == wrong
    counter.prescription(session, PATIENT, valid_until=clock.now() + timedelta(days=1))
    assert counter.authorise(session)["authorisation"]["session"] == session


# -- what must not work ---------------------------------------------------------------------------


def test_a_changed_basket_voids_the_authorisation(counter: PharmacyClient) -> None:
    session, authorisation = ready_to_settle(counter)
    view = counter.basket(session, [line(quantity="9")])
    assert view["authorisation"] is None
    assert view["authorisation_void"]["code"] == "BASKET_CHANGED"
    assert refused(counter.report, session, authorisation).code == "BASKET_CHANGED"
    counter.basket(session)
    assert refused(counter.report, session, authorisation).code == "BASKET_CHANGED"
    again = counter.authorise(session)["authorisation"]["authorisation"]
    assert counter.report(session, again)["stage"] == "settled"


def test_a_proxy_declared_after_the_authorisation_voids_it(counter: PharmacyClient) -> None:
    session, authorisation = ready_to_settle(counter)
    counter.proxy(session)
    assert refused(counter.report, session, authorisation).code == "PROXY_NOT_VERIFIED"
    assert refused(counter.authorise, session).reasons == ("PROXY_NOT_VERIFIED",)


def test_a_decision_after_the_authorisation_voids_it_also_when_it_accepts(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    session, authorisation = ready_to_settle(counter)
    counter.verify(session)
    assert refused(counter.report, session, authorisation).code == "AUTHORISATION_MISSING"
    again = counter.authorise(session)["authorisation"]["authorisation"]
    verifier.outcome, verifier.reason = "REFER", "MISMATCH"
    counter.verify(session)
    assert refused(counter.report, session, again).code == "AUTHORISATION_MISSING"
    assert refused(counter.authorise, session).reasons == ("RECEIPT_NOT_ACCEPT",)


def test_the_same_basket_again_voids_nothing(counter: PharmacyClient) -> None:
    session, authorisation = ready_to_settle(counter)
    assert counter.basket(session)["authorisation_void"] is None
    assert counter.report(session, authorisation)["stage"] == "settled"


def test_an_expired_receipt_and_an_expired_authorisation_are_refused(
    counter: PharmacyClient, clock: ManualClock
) -> None:
    session, authorisation = ready_to_settle(counter)
    clock.advance(timedelta(minutes=10))
    assert refused(counter.report, session, authorisation).code == "AUTHORISATION_EXPIRED"
    assert refused(counter.authorise, session).reasons == ("RECEIPT_EXPIRED",)
    counter.verify(session)
    again = counter.authorise(session)["authorisation"]["authorisation"]
    assert counter.report(session, again)["stage"] == "settled"


def test_a_clock_set_back_makes_neither_receipt_nor_authorisation_last_longer(
    counter: PharmacyClient, clock: ManualClock
) -> None:
    session, authorisation = ready_to_settle(counter)
    clock.advance(timedelta(minutes=9))
    clock.jump(timedelta(minutes=-9))
    assert counter.session(session)["next_step"] == "settle"
    clock.advance(timedelta(minutes=1))
    assert counter.session(session)["next_step"] == "enrol_or_attest"
    assert refused(counter.report, session, authorisation).code == "AUTHORISATION_EXPIRED"
    assert refused(counter.authorise, session).reasons == ("RECEIPT_EXPIRED",)


@pytest.mark.parametrize("hours", [-5, 5])
def test_after_a_clock_that_jumped_the_counter_goes_on(
    counter: PharmacyClient, clock: ManualClock, hours: int
) -> None:
    session = counter.open()["session"]
    counter.verify(session)
    counter.basket(session)
    clock.jump(timedelta(hours=hours))
    if hours > 0:  # by the wall clock it is long over, and the earlier end counts
        assert refused(counter.authorise, session).reasons == ("RECEIPT_EXPIRED",)
        counter.verify(session)
    authorisation = counter.authorise(session)["authorisation"]["authorisation"]
    clock.jump(timedelta(minutes=-1))
    assert counter.report(session, authorisation)["stage"] == "settled"


def test_what_an_earlier_boot_signed_is_judged_by_the_wall_clock_and_never_from_the_future(
    counter: PharmacyClient, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, authorisation = ready_to_settle(counter)
    monkeypatch.setattr(clock, "boot_id", lambda: "00000000-0000-4000-8000-000000000001")
    monkeypatch.setattr(clock, "_monotonic_ns", 60_000_000_000)
    clock.jump(timedelta(days=-3))  # no battery behind the clock
    assert refused(counter.report, session, authorisation).code == "AUTHORISATION_EXPIRED"
    clock.jump(timedelta(days=3, minutes=5))
    assert counter.report(session, authorisation)["stage"] == "settled"


def test_an_authorisation_is_used_once_and_the_same_report_gets_the_same_answer(
    counter: PharmacyClient,
) -> None:
    session, authorisation = ready_to_settle(counter)
    first = counter.report(session, authorisation, setl_id="S1")
    assert counter.report(session, authorisation, setl_id="S1") == first
    other = refused(counter.report, session, authorisation, setl_id="S2")
    assert (other.status, other.code) == (409, "AUTHORISATION_USED")
    assert refused(counter.report, session, NOBODY).code == "ALREADY_SETTLED"


def test_reports_sent_at_once_are_one_settlement(counter: PharmacyClient, store: NodeStore) -> None:
    session, authorisation = ready_to_settle(counter)

    def one(number: int) -> str:
        try:
            counter.report(session, authorisation, setl_id=f"S{number}")
        except ProblemResponse as exc:
            return exc.code
        return "settled"

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(one, range(8)))
    assert answers == ["AUTHORISATION_USED"] * 7 + ["settled"]
    with store.read() as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM log WHERE kind = 'settlement.concluded'"
        ).fetchone()
    assert count == 1


def test_a_report_without_permission_is_refused_and_kept(counter: PharmacyClient) -> None:
    session = counter.open()["session"]
    assert refused(counter.report, session, NOBODY).code == "AUTHORISATION_MISSING"
    assert counter.session(session)["steps"][-1]["kind"] == "session.refused"
    assert refused(counter.report, session, NOBODY, setl_id=None).code == "INVALID_REQUEST"


def test_a_closed_session_takes_no_step(
    counter: PharmacyClient, pharmacist: tuple[str, str], clock: ManualClock
) -> None:
    session, _ = ready_to_settle(counter)
    assert refused(counter.close, session, "settled").code == "OUTCOME_MISMATCH"
    counter.close(session, "abandoned")
    assert counter.close(session, "abandoned")["outcome"] == "abandoned"
    steps: list[Callable[[], Any]] = [
        lambda: counter.basket(session),
        lambda: counter.prescription(session, valid_until=clock.now()),
        lambda: counter.proxy(session),
        lambda: counter.verify(session),
        lambda: counter.attest(session, *pharmacist),
        lambda: counter.authorise(session),
        lambda: counter.close(session, "refused"),
    ]
    assert {refused(step).code for step in steps} == {"SESSION_CLOSED"}


def test_a_settled_session_does_not_change(counter: PharmacyClient) -> None:
    session, authorisation = ready_to_settle(counter)
    counter.report(session, authorisation)
    for step in (counter.basket, counter.proxy, counter.verify, counter.authorise):
        assert refused(step, session).code == "ALREADY_SETTLED"
    assert refused(counter.close, session, "abandoned").code == "OUTCOME_MISMATCH"
    assert counter.session(session)["next_step"] == "close"


def test_a_refused_report_leaves_the_way_open_for_a_new_authorisation(
    counter: PharmacyClient,
) -> None:
    session, authorisation = ready_to_settle(counter)
    counter.report(session, authorisation, outcome="refused", setl_id=None)
    assert refused(counter.report, session, authorisation).code == "AUTHORISATION_USED"
    again = counter.authorise(session)["authorisation"]["authorisation"]
    assert again != authorisation
    assert counter.report(session, again)["stage"] == "settled"


def test_another_counters_session_does_not_exist(
    counter: PharmacyClient,
    url: str,
    terminal: Callable[..., PharmacyClient],
    pharmacist: tuple[str, str],
    clock: ManualClock,
) -> None:
    session, authorisation = ready_to_settle(counter)
    other = terminal(url, "counter-2")
    calls: list[Callable[[], Any]] = [
        lambda: other.session(session),
        lambda: other.basket(session),
        lambda: other.prescription(session, valid_until=clock.now()),
        lambda: other.proxy(session),
        lambda: other.verify(session),
        lambda: other.attest(session, *pharmacist),
        lambda: other.authorise(session),
        lambda: other.report(session, authorisation),
        lambda: other.close(session),
    ]
    for call in calls:
        no = refused(call)
        assert (no.status, no.code) == (404, "SESSION_UNKNOWN")
    assert other.sessions() == []
    assert refused(counter.session, NOBODY).code == "SESSION_UNKNOWN"


# -- face attempts --------------------------------------------------------------------------------


def test_after_three_attempts_the_machine_looks_no_more(
    counter: PharmacyClient, verifier: FakeVerifier, pharmacist: tuple[str, str]
) -> None:
    verifier.outcome, verifier.reason = "RETRY", "BLURRED"
    session = counter.open()["session"]
    left = [counter.verify(session)["attempts_left"] for _ in range(3)]
    assert left == [4, 3, 0]
    fourth, fifth = counter.verify(session), counter.verify(session)
    assert (fourth["outcome"], fourth["reasons"][0]["code"]) == ("REFER", "ATTEMPTS_EXHAUSTED")
    assert fifth == fourth
    assert [request.attempt for request in verifier.requests] == [1, 2, 3]
    counter.basket(session)
    counter.attest(session, *pharmacist)
    assert counter.authorise(session)["authorisation"]


def test_a_decision_on_no_frame_takes_no_attempt_away(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    verifier.outcome, verifier.reason, verifier.frames_seen = "REFER", "CAMERA_UNAVAILABLE", 0
    session = counter.open()["session"]
    assert [counter.verify(session)["attempts_left"] for _ in range(4)] == [5] * 4
    verifier.frames_seen = 1
    assert counter.verify(session)["attempts_left"] == 4


def test_a_verifier_that_is_gone_refers_and_leaves_every_other_way_open(
    counter: PharmacyClient, verifier: FakeVerifier, pharmacist: tuple[str, str]
) -> None:
    verifier.available = False
    session = counter.open()["session"]
    no = refused(counter.verify, session)
    assert (no.status, no.code) == (503, "VERIFIER_UNAVAILABLE")
    view = counter.session(session)
    assert (view["decision"]["outcome"], view["attempts_left"]) == ("REFER", 5)
    counter.basket(session)
    counter.attest(session, *pharmacist)
    assert counter.authorise(session)["authorisation"]


def test_a_decision_that_is_not_in_the_log_is_no_decision(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    verifier.recording = False
    session = counter.open()["session"]
    assert refused(counter.verify, session).status == 503
    assert "NO_DECISION" in refused(counter.authorise, session).reasons


def test_one_person_at_a_time_is_looked_at(counter: PharmacyClient, verifier: FakeVerifier) -> None:
    verifier.hold = threading.Event()
    first, second = counter.open()["session"], counter.open()["session"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(counter.verify, first)
        assert verifier.entered.wait(30)
        no = refused(counter.verify, second)
        assert counter.ready()
        verifier.hold.set()
        assert running.result(30)["outcome"] == "ACCEPT"
    assert (no.status, no.code) == (409, "BUSY")


# -- consent and references -----------------------------------------------------------------------


def test_a_reference_wants_a_standing_consent_of_the_same_person(
    counter: PharmacyClient, verifier: FakeVerifier
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    assert refused(counter.enrol, NOBODY, PATIENT, b"x" * 9).code == "CONSENT_UNKNOWN"
    assert refused(counter.enrol, consent, OTHER, b"x" * 9).code == "NO_CONSENT"
    elsewhere = counter.consent(PATIENT, purpose="marketing")["consent"]
    assert refused(counter.enrol, elsewhere, PATIENT, b"x" * 9).code == "NO_CONSENT"
    verifier.refusal = EnrolmentRefused(code="NO_FACE", detail="no face found")
    no = refused(counter.enrol, consent, PATIENT, b"x" * 9)
    assert (no.status, no.code, no.body["reason"]) == (422, "IMAGE_REFUSED", "NO_FACE")
    for code, status in (("NO_CONSENT", 409), ("STORAGE_UNAVAILABLE", 503)):
        verifier.refusal = EnrolmentRefused(code=code, detail="not the picture")
        no = refused(counter.enrol, consent, PATIENT, b"x" * 9)
        assert (no.status, no.code) == (status, code)
    verifier.refusal, verifier.available = None, False
    assert refused(counter.enrol, consent, PATIENT, b"x" * 9).code == "VERIFIER_UNAVAILABLE"
    counter.withdraw(consent)
    assert refused(counter.enrol, consent, PATIENT, b"x" * 9).code == "NO_CONSENT"
    assert refused(counter.withdraw, NOBODY).code == "CONSENT_UNKNOWN"


def test_a_withdrawn_consent_erases_the_reference_from_the_file_at_once(
    counter: PharmacyClient, store: NodeStore, tmp_path: Path
) -> None:
    consent = counter.consent(PATIENT)["consent"]
    picture = b"SEALED-BYTES-TO-LOOK-FOR"
    reference = counter.enrol(consent, PATIENT, picture)["reference"]
    assert any(picture in path.read_bytes() for path in tmp_path.glob("node.sqlite3*"))

    assert counter.withdraw(consent)["references_erased"] == [reference]

    assert not any(picture in path.read_bytes() for path in tmp_path.glob("node.sqlite3*"))
    assert counter.withdraw(consent)["references_erased"] == []
    with store.read() as connection:
        rows = connection.execute("SELECT kind FROM log ORDER BY sequence").fetchall()
    assert [row["kind"] for row in rows][-2:] == ["reference.erased", "consent.withdrawn"]
    assert counter.open()["next_step"] == "enrol_or_attest"


# -- node mode ------------------------------------------------------------------------------------


def test_in_node_mode_the_node_settles_once_and_answers_the_same(
    store: NodeStore,
    verifier: FakeVerifier,
    keys: KeyDirectory,
    tmp_path: Path,
    terminal: Callable[..., PharmacyClient],
    clock: ManualClock,
) -> None:
    platform = create_platform()
    with served(platform) as address:
        port = NhsaPlatform(
            address, institution="P43010000001", area="430100", timeout_seconds=5, clock=clock
        )
        config = config_for(tmp_path, settlement={"mode": "node", "platform_url": address})
        app = create_app(store=store, verifier=verifier, keys=keys, config=config, settlement=port)
        with served(app) as url:
            counter = terminal(url)
            session, authorisation = ready_to_settle(counter)
            assert refused(counter.settle, session, OTHER).code == "RECEIPT_OTHER_CLAIM"
            assert refused(counter.report, session, authorisation).code == "SETTLEMENT_MODE"
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: counter.settle(session), range(4)))
            held = platform.state.ledger.to_json()["settlements"]
            assert [answer["setl_id"] for answer in answers] == [held[0]["setl_id"]] * 4
            assert len(held) == 1
            assert counter.close(session)["outcome"] == "settled"
            unpermitted = counter.open()["session"]
            no = refused(counter.settle, unpermitted)
            assert no.code == "AUTHORISATION_MISSING"
            assert refused(counter.settle, NOBODY).code == "SESSION_UNKNOWN"


def test_in_external_mode_the_node_does_not_settle(
    counter: PharmacyClient, app: FastAPI, config: EdgeConfig
) -> None:
    session, _ = ready_to_settle(counter)
    assert refused(counter.settle, session).code == "SETTLEMENT_MODE"
    assert app.state.settler is None
