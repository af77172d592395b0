"""Signatures: the algorithm and the key are named beside every value, never assumed.

Ed25519 by default (through `cryptography`). Each use has its own context line in front of the
message, so a signature made for one purpose never fits another.
"""

from __future__ import annotations

import base64
import hashlib
from enum import StrEnum
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from retention.records.canonical import canonical_bytes
from retention.records.errors import ProofRejected
from retention.records.fields import Frozen
from retention.records.payloads import SignatureBlock


class Context(StrEnum):
    """What a signature is for."""

    CHECKPOINT = "countersight/checkpoint/1"
    COUNTERSIGNATURE = "countersight/countersignature/1"
    RECEIPT = "countersight/decision-receipt/1"
    AUTHORISATION = "countersight/authorisation/1"
    COMMAND = "countersight/command/1"
    EXPORT = "countersight/evidence-export/1"
    POLICY = "countersight/identity-policy/1"
    DEVICE = "countersight/device-answer/1"


class Signer(Protocol):
    """Holds a private key, or reaches the device that does."""

    @property
    def key_id(self) -> str:
        """Return the name of the key: 16 hexadecimal digits of its public half's SHA-256."""
        ...

    def sign(self, context: Context, value: Frozen) -> SignatureBlock:
        """Return the signature over the canonical bytes of `value`."""
        ...


class Ed25519Signer:
    """A private key held in memory."""

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.public_key = private_key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._key_id = key_id_of(self.public_key)

    @property
    def key_id(self) -> str:
        return self._key_id

    def sign(self, context: Context, value: Frozen) -> SignatureBlock:
        raw = self._private_key.sign(_message(context, value))
        return SignatureBlock(
            algorithm="ed25519", key_id=self._key_id, value=base64.b64encode(raw).decode()
        )


def key_id_of(public_key: bytes) -> str:
    """Return the 16 hexadecimal digits that name a public key."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def verify_signature(
    public_key: bytes, context: Context, value: Frozen, signature: SignatureBlock
) -> None:
    """Check a signature by a raw 32-byte Ed25519 public key. Raises ProofRejected."""
    if signature.key_id != key_id_of(public_key):
        raise ProofRejected(
            f"signed by key {signature.key_id}, expected key {key_id_of(public_key)}"
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            base64.b64decode(signature.value), _message(context, value)
        )
    except (InvalidSignature, ValueError) as exc:
        raise ProofRejected(f"signature of key {signature.key_id} does not hold") from exc


def _message(context: Context, value: Frozen) -> bytes:
    return context.value.encode() + b"\n" + canonical_bytes(value.model_dump(mode="json"))
