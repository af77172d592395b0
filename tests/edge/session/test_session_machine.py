"""No sequence of commands settles twice, settles without a fresh ACCEPT, or outlives a basket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.session import commands, receipts
from edge.session.commands import GateTerms, Ruling
from edge.session.state import AFTER_CLOSE, SessionState, Stage, advance
from edge.verifier.protocol import VerifyFace
from identity.methods import by_pharmacist
from identity.policy import load_policy
from retention.records import payloads as p
from retention.records.clock import ManualClock, from_text, to_text
from retention.records.ids import SeededIds
from retention.records.people import ProxyDeclared2, SessionOpened2
from retention.records.receipts import claim_digest, sign_receipt
from retention.records.signing import Ed25519Signer
from tests.edge.counter_kit import receipt_for

SIGNER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"s" * 32))
TERMS = GateTerms(
    SIGNER,
    SIGNER.public_key,
    attempts=3,
    valid_for=timedelta(minutes=10),
    transaction=load_policy().transaction,
)
CLAIM = p.Claim(
    person_ref="a" * 64, display_name="张*三", mdtrt_cert_type="02", insuplc_admdvs="430100"
)


def basket_line(price: int, prescription: bool) -> p.BasketLine:
    return p.BasketLine(
        line=1,
        med_list_codg="XA10",
        name="药",
        quantity="1",
        unit_price=str(price),
        prescription_required=prescription,
        trace_codes=(),
    )


def opened(clock: ManualClock, ids: SeededIds) -> SessionState:
    step = SessionOpened2(
        session=ids.new(),
        terminal=ids.new(),
        operator="op",
        claim=CLAIM,
        claim_digest=claim_digest(CLAIM),
        age_band="60_69",
        sex="female",
    )
    return SessionState(step, "counter-1", to_text(clock.now()))


@dataclass
class Platform:
    """What the platform would hold: live settlements by authorisation."""

    live: int = 0


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock, self.ids = ManualClock(), SeededIds(7)
        self.state = opened(self.clock, self.ids)
        self.log: list[Any] = []
        self.platform = Platform()
        self.reports: list[tuple[str, str, str | None]] = []

    def run(self, ruling: Ruling) -> Ruling:
        for payload in ruling.payloads:
            if self.state.closed is not None:
                assert isinstance(payload, AFTER_CLOSE), "a closed session took a step"
            self.log.append((self.state, payload, self.clock.now()))
            self.state = advance(self.state, payload)
        return ruling

    @rule(seconds=st.integers(1, 700))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule(price=st.integers(1, 3), prescription=st.booleans())
    def basket(self, price: int, prescription: bool) -> None:
        lines = (basket_line(price, prescription),)
        before = self.state
        self.run(commands.set_basket(before, lines))
        if self.state.basket != before.basket:
            assert self.state.live_authorisation is None

    @rule(right=st.booleans(), minutes=st.integers(-5, 30))
    def prescription(self, right: bool, minutes: int) -> None:
        attached = p.PrescriptionAttached(
            session=self.state.session,
            rx_no="RX",
            source="electronic",
            patient_ref=CLAIM.person_ref if right else "c" * 64,
            prescriber="D1",
            valid_until=to_text(self.clock.now() + timedelta(minutes=minutes)),
            document_sha256=None,
        )
        self.run(commands.attach_prescription(self.state, attached))

    @rule()
    def proxy(self) -> None:
        form = ProxyDeclared2(
            session=self.state.session,
            purchaser_ref="b" * 64,
            purchaser_display_name="张*",
            purchaser_cert_type="02",
            relation="daughter",
            reason="bed",
            patient_signature_sha256="d" * 64,
            purchaser_signature_sha256="d" * 64,
            purchaser_age_band="18_39",
            purchaser_sex="female",
        )
        self.run(commands.declare_proxy(self.state, form))

    @rule(outcome=st.sampled_from(["ACCEPT", "ACCEPT", "RETRY", "REFER"]))
    def face(self, outcome: Any) -> None:
        """The verifier records for itself, whatever the session's state is by then."""
        if self.state.closed is not None:
            return
        subject, role = self.state.subject
        request = VerifyFace.model_validate(
            {
                "session": self.state.session,
                "counter": "counter-1",
                "claim_digest": self.state.opened.claim_digest,
                "subject_ref": subject,
                "subject_role": role,
                "attempt": self.state.face_attempts + 1,
                "amount": None,
                "comparisons": 0,
                "age_band": "unknown",
                "sex": "unknown",
            }
        )
        made = receipt_for(
            request,
            receipt=self.ids.new(),
            outcome=outcome,
            reason="MATCH",
            now=self.clock.now(),
        )
        self.run(Ruling((sign_receipt(made, SIGNER),)))

    @rule()
    def attest(self) -> None:
        if commands.changeable(self.state) is not None:
            return
        made = receipts.vouched(
            self.state,
            by_pharmacist("ph", "id_card"),
            receipt=self.ids.new(),
            now=self.clock.now(),
            valid_for=timedelta(minutes=10),
            signer=SIGNER,
        )
        self.run(Ruling((made,)))

    @rule(presence=st.sampled_from(["present", "present", "absent"]))
    def authorise(self, presence: Any) -> None:
        ruling = commands.ask_gate(self.state, self.clock.now(), TERMS, self.ids.new(), presence)
        self.run(ruling)
        if presence == "absent" and self.state.needs_prescription:
            assert not any(isinstance(x, p.SessionAuthorised) for x in ruling.payloads)

    @rule()
    def settle(self) -> None:
        self.run(commands.start_settlement(self.state, self.clock.now(), TERMS, self.ids.new()))

    @precondition(lambda self: self.state.stage is Stage.SETTLING)
    @rule(answer=st.sampled_from(["settled", "refused", "nothing"]), held=st.booleans())
    def answer(self, answer: Any, held: bool) -> None:
        """The platform answers, or does not; unanswered it may hold a settlement all the same."""
        assert self.state.attempt is not None
        if answer == "nothing":
            self.platform.live += held
            self.run(commands.start_reversal(self.state, self.ids.new()))
            return
        self.platform.live += answer == "settled"
        setl_id = "S1" if answer == "settled" else None
        self.run(Ruling((commands.conclusion(self.state.attempt, answer, setl_id, None),)))

    @precondition(lambda self: self.state.stage is Stage.REVERSING)
    @rule(answered=st.booleans())
    def reversal(self, answered: bool) -> None:
        assert self.state.attempt is not None
        if not answered:
            self.run(commands.start_reversal(self.state, self.ids.new()))
            return
        self.platform.live = 0
        self.run(Ruling((commands.conclusion(self.state.attempt, "reversed", None, None),)))

    @rule(outcome=st.sampled_from(["settled", "refused"]), old=st.booleans())
    def report(self, outcome: Any, old: bool) -> None:
        given = [x.authorisation for _, x, _ in self.log if isinstance(x, p.SessionAuthorised)]
        if not given:
            return
        chosen = (given[0] if old else given[-1]).authorisation
        setl_id = "S2" if outcome == "settled" else None
        ruling = commands.report_settlement(
            self.state, self.clock.now(), TERMS, chosen, outcome, setl_id
        )
        self.run(ruling)
        concluded = any(isinstance(x, p.SettlementConcluded) for x in ruling.payloads)
        self.platform.live += concluded and outcome == "settled"

    @rule(outcome=st.sampled_from(["settled", "self_paid", "abandoned", "refused"]))
    def close(self, outcome: Any) -> None:
        self.run(commands.close(self.state, self.clock.now(), outcome))

    @invariant()
    def at_most_one_settlement_stands(self) -> None:
        assert self.platform.live <= 1
        settled = [
            x
            for _, x, _ in self.log
            if isinstance(x, p.SettlementConcluded) and x.outcome == "settled"
        ]
        assert len(settled) <= 1

    @invariant()
    def every_settlement_rests_on_a_fresh_accept_and_this_basket(self) -> None:
        for before, payload, now in self.log:
            asks = isinstance(payload, p.SettlementAttempted) and payload.transaction == "settle"
            reports = isinstance(payload, p.SettlementConcluded) and payload.mode == "external"
            if not (asks or reports):
                continue
            authorisation = before.authorised.authorisation
            receipt = before.decision.receipt
            assert payload.authorisation == authorisation.authorisation
            assert authorisation.basket_digest == before.basket.basket_digest
            assert authorisation.receipt == receipt.receipt
            assert (receipt.outcome, receipt.claim_digest) == ("ACCEPT", authorisation.claim_digest)
            assert (receipt.subject_ref, receipt.subject_role) == before.subject
            assert now < from_text(authorisation.expires_at) <= from_text(receipt.expires_at)

    @invariant()
    def an_authorisation_is_asked_with_once(self) -> None:
        asked = [
            x.authorisation
            for _, x, _ in self.log
            if isinstance(x, p.SettlementAttempted) and x.transaction == "settle"
        ]
        assert len(asked) == len(set(asked))


SessionMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestSessionMachine = SessionMachine.TestCase


def test_a_closed_state_ignores_late_steps() -> None:
    state = replace(
        opened(ManualClock(), SeededIds()),
        closed=p.SessionClosed(
            session=SeededIds().new(),
            outcome="abandoned",
            opened_at=to_text(ManualClock().now()),
            closed_at=to_text(ManualClock().now()),
        ),
    )
    basket = commands.set_basket(replace(state, closed=None), (basket_line(1, False),))
    assert advance(state, basket.payloads[0]) == state
