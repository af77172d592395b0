"""From the rules' outcomes to a signed authorisation, or to the record of a refusal."""

from __future__ import annotations

from datetime import timedelta

from edge.gate.rules import GateInput, evaluate, refusals
from retention.records.clock import from_text, to_text
from retention.records.payloads import Authorisation, SessionAuthorised, SessionRefused
from retention.records.receipts import sign_authorisation
from retention.records.signing import Signer


def authorise(
    gate: GateInput, *, authorisation: str, valid_for: timedelta, signer: Signer
) -> SessionAuthorised | SessionRefused:
    """Evaluate the rules. An authorisation never outlives the receipt that it rests on."""
    outcomes = evaluate(gate)
    reasons = refusals(outcomes)
    state = gate.state
    digest = state.basket.basket_digest if state.basket else None
    if reasons or digest is None or state.decision is None:
        return SessionRefused(
            session=state.session, basket_digest=digest, rules=outcomes, reasons=reasons
        )
    receipt = state.decision.receipt
    expires_at = min(gate.now + valid_for, from_text(receipt.expires_at))
    return sign_authorisation(
        Authorisation(
            authorisation=authorisation,
            session=state.session,
            receipt=receipt.receipt,
            claim_digest=state.opened.claim_digest,
            basket_digest=digest,
            proxy=state.proxy is not None,
            rules=outcomes,
            issued_at=to_text(gate.now),
            expires_at=to_text(expires_at),
        ),
        signer,
    )
