"""Making and checking decision receipts and authorisations. Pure: keys and times come in."""

from __future__ import annotations

from datetime import datetime
from typing import overload

from retention.records.canonical import digest_of
from retention.records.clock import from_text
from retention.records.errors import ProofRejected
from retention.records.payloads import (
    Authorisation,
    BasketLine,
    Claim,
    DecisionReceipt,
    IdentityDecided,
    SessionAuthorised,
)
from retention.records.people import DecisionReceipt2, IdentityDecided2
from retention.records.signing import Context, Signer, verify_signature


def claim_digest(claim: Claim) -> str:
    """Return the digest that binds a receipt to the claimed identity."""
    return digest_of(claim.model_dump(mode="json"))


def basket_digest(lines: tuple[BasketLine, ...]) -> str:
    """Return the digest that binds an authorisation to exactly these lines, in order."""
    return digest_of([line.model_dump(mode="json") for line in lines])


@overload
def sign_receipt(receipt: DecisionReceipt2, signer: Signer) -> IdentityDecided2: ...
@overload
def sign_receipt(receipt: DecisionReceipt, signer: Signer) -> IdentityDecided: ...
def sign_receipt(receipt: DecisionReceipt, signer: Signer) -> IdentityDecided:
    """Return the record payload of a decision with its signature."""
    signature = signer.sign(Context.RECEIPT, receipt)
    if isinstance(receipt, DecisionReceipt2):
        return IdentityDecided2(session=receipt.session, receipt=receipt, signature=signature)
    return IdentityDecided(session=receipt.session, receipt=receipt, signature=signature)


def sign_authorisation(authorisation: Authorisation, signer: Signer) -> SessionAuthorised:
    """Return the record payload of an authorisation with its signature."""
    return SessionAuthorised(
        session=authorisation.session,
        authorisation=authorisation,
        signature=signer.sign(Context.AUTHORISATION, authorisation),
    )


def check_receipt(
    decided: IdentityDecided, *, public_key: bytes, session: str, claim: str, now: datetime
) -> None:
    """Check that a receipt permits an authorisation now. Raises ProofRejected with the reason."""
    receipt = decided.receipt
    # (1) our own key signed it
    verify_signature(public_key, Context.RECEIPT, receipt, decided.signature)
    # (2) it names this session and (3) this claim
    if receipt.session != session:
        raise ProofRejected("RECEIPT_OTHER_SESSION")
    if receipt.claim_digest != claim:
        raise ProofRejected("RECEIPT_OTHER_CLAIM")
    # (4) the decision was ACCEPT
    if receipt.outcome != "ACCEPT":
        raise ProofRejected("RECEIPT_NOT_ACCEPT")
    # (5) it is neither expired nor from the future
    if now >= from_text(receipt.expires_at) or now < from_text(receipt.decided_at):
        raise ProofRejected("RECEIPT_EXPIRED")


def check_authorisation(
    authorised: SessionAuthorised, *, public_key: bytes, basket: str, now: datetime
) -> None:
    """Check that an authorisation permits settling this basket now. Raises ProofRejected."""
    authorisation = authorised.authorisation
    # (1) our own key signed it
    verify_signature(public_key, Context.AUTHORISATION, authorisation, authorised.signature)
    # (2) it names exactly this basket
    if authorisation.basket_digest != basket:
        raise ProofRejected("BASKET_CHANGED")
    # (3) it is neither expired nor from the future
    if now >= from_text(authorisation.expires_at) or now < from_text(authorisation.issued_at):
        raise ProofRejected("AUTHORISATION_EXPIRED")
