"""Receipts and authorisations hold for one session, one claim, one basket, one time, one key."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from retention.records.clock import from_text
from retention.records.errors import ProofRejected
from retention.records.receipts import (
    check_authorisation,
    check_receipt,
    sign_authorisation,
    sign_receipt,
)
from retention.records.signing import Context, Ed25519Signer, verify_signature
from tests.golden.samples import AUTHORISATION, RECEIPT

DECIDED_AT = from_text(RECEIPT.decided_at)
LIVE = RECEIPT.model_copy(update={"expires_at": "2026-01-02T03:15:05.250000Z"})


@pytest.fixture
def signer() -> Ed25519Signer:
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"k" * 32))


def check(signer, receipt=LIVE, **changes) -> None:
    asked = {
        "public_key": signer.public_key,
        "session": RECEIPT.session,
        "claim": RECEIPT.claim_digest,
        "now": DECIDED_AT + timedelta(minutes=9),
    } | changes
    check_receipt(sign_receipt(receipt, signer), **asked)


def test_a_fresh_receipt_of_this_session_and_claim_permits(signer) -> None:
    check(signer)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session": "01900000-0000-7000-8000-0000000000ff"}, "RECEIPT_OTHER_SESSION"),
        ({"claim": "f" * 64}, "RECEIPT_OTHER_CLAIM"),
        ({"now": DECIDED_AT + timedelta(minutes=10)}, "RECEIPT_EXPIRED"),
        ({"now": DECIDED_AT - timedelta(microseconds=1)}, "RECEIPT_EXPIRED"),
        ({"public_key": b"z" * 32}, "expected key"),
    ],
)
def test_a_receipt_permits_nothing_else(signer, changes, reason) -> None:
    with pytest.raises(ProofRejected, match=reason):
        check(signer, **changes)


@pytest.mark.parametrize("outcome", ["RETRY", "REFER"])
def test_only_accept_permits(signer, outcome) -> None:
    with pytest.raises(ProofRejected, match="RECEIPT_NOT_ACCEPT"):
        check(signer, LIVE.model_copy(update={"outcome": outcome}))


def test_an_edited_receipt_is_refused(signer) -> None:
    decided = sign_receipt(LIVE.model_copy(update={"outcome": "REFER"}), signer)
    forged = decided.model_copy(update={"receipt": LIVE})
    with pytest.raises(ProofRejected, match="does not hold"):
        check_receipt(
            forged,
            public_key=signer.public_key,
            session=LIVE.session,
            claim=LIVE.claim_digest,
            now=DECIDED_AT,
        )


def test_a_signature_for_one_purpose_does_not_fit_another(signer) -> None:
    block = signer.sign(Context.RECEIPT, LIVE)
    with pytest.raises(ProofRejected):
        verify_signature(signer.public_key, Context.COMMAND, LIVE, block)


@pytest.mark.parametrize(
    ("basket", "minutes", "reason"),
    [("f" * 64, 0, "BASKET_CHANGED"), (AUTHORISATION.basket_digest, 2, "AUTHORISATION_EXPIRED")],
)
def test_an_authorisation_is_for_one_basket_and_a_time(signer, basket, minutes, reason) -> None:
    authorised = sign_authorisation(AUTHORISATION, signer)
    now = from_text(AUTHORISATION.issued_at) + timedelta(minutes=minutes)
    with pytest.raises(ProofRejected, match=reason):
        check_authorisation(authorised, public_key=signer.public_key, basket=basket, now=now)
