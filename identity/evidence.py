"""The evidence of one attempt, its encoding, and the digest by which a receipt names it."""

from __future__ import annotations

import hashlib

from identity.attempt_evidence import AttemptEvidence
from identity.evidence_format import read as decode
from identity.evidence_format import write as encode

__all__ = ["AttemptEvidence", "decode", "encode", "probe_digest"]


def probe_digest(encoded: bytes) -> str:
    """Return the digest by which a receipt names its evidence: SHA-256 in hexadecimal."""
    return hashlib.sha256(encoded).hexdigest()
