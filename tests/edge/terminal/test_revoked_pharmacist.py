"""A pharmacist who left vouches for nobody, in the node that runs on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config import EdgeConfig
from edge.duty import pharmacist_ref
from edge.session.service import Caller
from edge.simulators.pharmacy import PharmacyClient, line
from edge.terminal import duty_actions, pharmacists
from edge.terminal.parts import Parts
from edge.terminal.pharmacists import Revoked
from identity.methods import by_pharmacist
from retention import passphrase
from retention.keyfiles import KeyDirectory
from retention.records.clock import ManualClock
from retention.records.payloads import Claim
from retention.store import credentials, duty, people
from retention.store.credentials import Checked
from retention.store.database import NodeStore
from retention.terms.problems import Refusal
from tests.edge.counter_kit import FakeVerifier, config_for
from tests.edge.terminal.test_face_rules import receipts_of
from tests.edge.terminal.test_terminal_flow import refused

ME = Caller("01976f00-0000-7000-8000-000000000001", "counter-1")
CLAIM = Claim(
    person_ref="a" * 64, display_name="张*三", mdtrt_cert_type="02", insuplc_admdvs="430100"
)


@pytest.fixture
def revoke(store: NodeStore, keys: KeyDirectory) -> Callable[[str], Revoked]:
    def by_the_operator(pharmacist: str) -> Revoked:
        found = pharmacists.revoke(
            store, pharmacist, person_key=keys.secret("person"), signer=keys.signer()
        )
        assert found is not None
        return found

    return by_the_operator


# -- in a counter that runs on --------------------------------------------------------------------


def test_whoever_is_revoked_attests_nothing_and_signs_in_no_more(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    store: NodeStore,
    revoke: Callable[[str], Revoked],
) -> None:
    session = counter.open()["session"]
    own = {"pharmacist": pharmacist[0], "method": "secret", "secret": pharmacist[1]}
    counter.call("POST", "/v1/duty", own)

    assert revoke(pharmacist[0]).counter == "counter-1"

    no = refused(counter.attest, session, *pharmacist)
    assert (no.status, no.code) == (403, "PHARMACIST_REFUSED")
    assert receipts_of(store, session) == []
    assert counter.call("GET", "/v1/duty")["on_duty"] == []
    for wanted in (own, {"pharmacist": pharmacist[0], "method": "secret", "secret": "wrong one"}):
        assert refused(counter.call, "POST", "/v1/duty", wanted).code == "PHARMACIST_REFUSED"

    pharmacists.add(store, *pharmacist)
    assert counter.call("GET", "/v1/duty")["on_duty"] == []  # as after any signing out
    assert counter.attest(session, *pharmacist)["outcome"] == "ACCEPT"
    assert counter.call("POST", "/v1/duty", own)["state"] == "present"


def test_a_receipt_given_before_stays_what_it_was_until_it_expires(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    clock: ManualClock,
    config: EdgeConfig,
    revoke: Callable[[str], Revoked],
) -> None:
    session = counter.open()["session"]
    receipt = counter.attest(session, *pharmacist)["decided"]["receipt"]
    counter.basket(session)

    revoke(pharmacist[0])

    assert receipt["attested_by"] == pharmacist[0]
    assert counter.session(session)["decision"]["decided"]["receipt"] == receipt
    assert counter.authorise(session)["authorisation"]
    clock.advance(timedelta(seconds=config.verification.receipt_seconds))
    counter.basket(session, [line()])
    assert "RECEIPT_EXPIRED" in refused(counter.authorise, session).reasons
    assert refused(counter.attest, session, *pharmacist).code == "PHARMACIST_REFUSED"


def test_no_prescription_line_passes_by_the_presence_of_who_was_revoked(
    store: NodeStore,
    tmp_path: Path,
    served_with: Callable[..., str],
    terminal: Callable[..., PharmacyClient],
    clock: ManualClock,
    pharmacist: tuple[str, str],
    revoke: Callable[[str], Revoked],
) -> None:
    counter = terminal(served_with(config_for(tmp_path, presence={"required": True})))
    own = {"pharmacist": pharmacist[0], "method": "secret", "secret": pharmacist[1]}
    counter.call("POST", "/v1/duty", own)
    session = counter.open()["session"]
    counter.attest(session, *pharmacist)
    counter.basket(session, [line(prescription_required=True)])
    counter.prescription(session, valid_until=clock.now() + timedelta(days=1))

    revoke(pharmacist[0])

    assert refused(counter.authorise, session).reasons == ("PHARMACIST_ABSENT",)
    pharmacists.add(store, *pharmacist)
    assert refused(counter.authorise, session).reasons == ("PHARMACIST_ABSENT",)
    counter.call("POST", "/v1/duty", own)
    assert counter.authorise(session)["authorisation"]


# -- at the same moment ---------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["while the secret is checked", "before the attestation"])
@pytest.mark.parametrize("returns", [False, True])
def test_revoked_after_the_try_was_taken_nothing_is_attested(
    counter: PharmacyClient,
    pharmacist: tuple[str, str],
    store: NodeStore,
    revoke: Callable[[str], Revoked],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    returns: bool,
) -> None:
    session = counter.open()["session"]
    reached, go_on = threading.Event(), threading.Event()
    early = moment == "while the secret is checked"
    owner, name = (credentials, "matches") if early else (pharmacists, "check")
    original = getattr(owner, name)

    def slowly(*asked: object) -> object:
        found = original(*asked)
        reached.set()
        assert go_on.wait(60)
        return found

    answers: list[str] = []

    def attest() -> None:
        answers.append(refused(counter.attest, session, *pharmacist).code)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, slowly)
        attesting = threading.Thread(target=attest, daemon=True)
        attesting.start()
        assert reached.wait(60)
        revoke(pharmacist[0])
        if returns:
            pharmacists.add(store, *pharmacist)
        go_on.set()
        attesting.join(60)

    assert answers == ["PHARMACIST_REFUSED"]
    assert receipts_of(store, session) == []


def test_a_reference_that_is_being_made_when_its_owner_is_revoked_is_not_kept(
    app: FastAPI,
    pharmacist: tuple[str, str],
    verifier: FakeVerifier,
    store: NodeStore,
    keys: KeyDirectory,
    revoke: Callable[[str], Revoked],
) -> None:
    enrol = verifier.enrol

    def slowly(*asked: object) -> object:
        revoke(pharmacist[0])
        return enrol(*asked)  # type: ignore[arg-type]

    with (
        mock.patch.object(verifier, "enrol", slowly),
        pytest.raises(people.ConsentMissing),  # which the verifier answers as NO_CONSENT
    ):
        duty_actions.enrol(app.state.parts, ME, *pharmacist, b"picture")

    with store.read() as connection:
        ref = pharmacist_ref(keys.secret("person"), pharmacist[0])
        assert people.newest_reference(connection, ref) is None


@pytest.mark.parametrize(
    "checked",
    [
        None,
        Checked("pharmacists", "ph-4", "another's"),
        Checked("inspectors", "ph-3", "an inspector's"),
        Checked("pharmacists", "ph-3", "another secret"),
    ],
)
def test_nobody_vouches_without_the_own_secret_that_was_checked(
    app: FastAPI, pharmacist: tuple[str, str], store: NodeStore, checked: Checked | None
) -> None:
    service = app.state.parts.service
    session = service.open(ME, "op", CLAIM, "unknown", "unknown").session
    with store.write() as connection:
        credentials.put(connection, "pharmacists", "ph-4", "another's", store.clock.now())
        credentials.put(connection, "inspectors", "ph-3", "an inspector's", store.clock.now())
    said = by_pharmacist(pharmacist[0], "id_card")
    with pytest.raises(Refusal, match="PHARMACIST_REFUSED"):
        service.vouch(ME, session, said, checked=checked)
    assert receipts_of(store, session) == []


# -- in any order ---------------------------------------------------------------------------------

STEPS = ("add", "revoke", "check", "attest", "sign_in", "sign_out", "enrol", "withdraw")


class Life:
    """One pharmacist's days, and beside them what has to be true of each."""

    def __init__(self, parts: Parts, keys: KeyDirectory) -> None:
        self.parts, self.store, self.keys = parts, parts.store, keys
        self.name = self.store.ids.new()
        self.ref = pharmacist_ref(parts.person_key, self.name)
        self.session = parts.service.open(ME, "op", CLAIM, "unknown", "unknown").session
        self.stands: int | None = None
        self.checked: tuple[Checked, int] | None = None
        self.generation = self.attested = self.references = 0
        self.on_duty = False

    def add(self) -> None:
        pharmacists.add(self.store, self.name, "correct horse")
        self.generation += 1
        self.stands = self.generation

    def revoke(self) -> None:
        found = pharmacists.revoke(
            self.store, self.name, person_key=self.parts.person_key, signer=self.keys.signer()
        )
        assert (found is not None) is (self.stands is not None)
        if found is not None:
            assert (found.counter is not None) is self.on_duty
            assert sum(len(one.references) for one in found.withdrawn) == self.references
        self.stands, self.on_duty, self.references = None, False, 0

    def check(self) -> None:
        if self.stands is None:
            with pytest.raises(Refusal, match="PHARMACIST_REFUSED"):
                pharmacists.check(self.store, self.name, "correct horse")
        else:
            checked = pharmacists.check(self.store, self.name, "correct horse")
            self.checked = checked, self.stands

    def attest(self) -> None:
        service = self.parts.service
        self.attested += self._by_secret(
            lambda checked: service.attest(ME, self.session, checked, "id_card")
        )

    def sign_in(self) -> None:
        self.on_duty |= self._by_secret(
            lambda _: duty_actions.sign_in_by_secret(self.parts, ME, self.name, "")
        )

    def sign_out(self) -> None:
        if self.on_duty:
            duty_actions.sign_out(self.parts, ME, self.name)
        self.on_duty = False

    def enrol(self) -> None:
        self.references += self._by_secret(
            lambda _: duty_actions.enrol(self.parts, ME, self.name, "", b"picture")
        )

    def withdraw(self) -> None:
        if self.references:
            duty_actions.withdraw(self.parts, ME, self.name)
        self.references = 0

    def _by_secret(self, act: Callable[[Checked], object]) -> bool:
        """Act on the strength of the secret that was checked last, however long ago."""
        if self.checked is None:
            return False
        checked, generation = self.checked
        with mock.patch.object(pharmacists, "check", return_value=checked):
            if generation == self.stands:
                act(checked)
                return True
            with pytest.raises(Refusal, match="PHARMACIST_REFUSED"):
                act(checked)
            return False

    def holds(self) -> None:
        limits, clock = self.parts.config.presence, self.store.clock
        with self.store.read() as connection:
            assert duty.present(connection, None, clock, limits) is self.on_duty
            kept = connection.execute(
                "SELECT count(*) FROM reference_templates WHERE person_ref = ?", (self.ref,)
            ).fetchone()[0]
            assert kept == self.references
            if self.stands is None:
                assert people.newest_reference(connection, self.ref) is None
        receipts = receipts_of(self.store, self.session)
        assert [one.attested_by for one in receipts] == [self.name] * self.attested


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), min_size=3, max_size=14))
def test_in_no_order_does_a_revoked_pharmacist_vouch(
    app: FastAPI, keys: KeyDirectory, steps: list[str]
) -> None:
    with mock.patch.object(passphrase, "_N", 16):  # this is about orders, not about guessing
        life = Life(app.state.parts, keys)
        try:
            for step in ("add", "check", *steps):
                getattr(life, step)()
                life.holds()
        finally:
            life.revoke()
        life.holds()
