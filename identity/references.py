"""References: the enrolled embedding a person is compared with, and its sealed form.

At rest a reference exists only as AES-256-GCM ciphertext whose associated data binds it to its
ids, its person, its consent, its embedding contract, and the age and quality of its picture: moved
to another person's row, or made younger, it does not open. A reference is made by an explicit
enrolment and never updated by an accepted attempt, because templates that follow accepted attempts
drift to strangers. One that is old or poor is stale: it needs a stronger match, and blocks nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from identity.errors import ReferenceUnreadable
from identity.faces import dominant
from identity.policy import IdentityPolicy, ReferenceLimits
from identity.quality import instruction
from identity.quality.crop import measure_in
from models.values import Detector, Embedder, Embedding, FaceDetection, Image
from retention.records.canonical import canonical_bytes
from retention.records.clock import to_text
from retention.records.ids import ConsentId, ReferenceId

_NONCE_BYTES = 12
_KEY_BYTES = 32
_TERMS_VERSION = 2
COUNTER_CAMERA = "counter_camera"
"""The source of a reference that was made of a living person at the counter."""
_TEMPLATE_EYES_PX = 35.24
"""How far apart the eyes are in the picture that is embedded (ArcFace template, 112 px)."""

Quality = Literal["good", "poor"]
Standing = Literal["current", "stale"]


@dataclass(frozen=True, slots=True)
class ReferenceTerms:
    """Everything about a reference but the embedding; the associated data of its sealed form.

    `person_ref` is the keyed digest of the insured person's number, `source` says what was
    photographed (for example `document_photo` or `counter_camera`). `portrait_at` is when the
    picture was taken or its document issued, if that is known.
    """

    reference_id: ReferenceId
    person_ref: str
    contract_id: str
    source: str
    consent_id: ConsentId
    expires_at: datetime
    portrait_at: datetime | None = None
    quality: Quality = "good"

    def associated_data(self, key_id: str) -> bytes:
        """Return the canonical bytes that the seal authenticates."""
        bound = asdict(self) | {
            "terms": _TERMS_VERSION,
            "expires_at": to_text(self.expires_at),
            "portrait_at": None if self.portrait_at is None else to_text(self.portrait_at),
            "key_id": key_id,
        }
        return canonical_bytes(bound)

    def first_associated_data(self, key_id: str) -> bytes | None:
        """Return what the first version authenticated; None for terms that it could not say."""
        if self.portrait_at is not None or self.quality != "good":
            return None
        bound = asdict(self) | {"expires_at": to_text(self.expires_at), "key_id": key_id}
        del bound["portrait_at"], bound["quality"]
        return canonical_bytes(bound)


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """An opened reference: its terms, and a unit embedding (float32) under its contract."""

    terms: ReferenceTerms
    embedding: Embedding

    @property
    def of_a_picture(self) -> Embedding | None:
        """Return the embedding when it is of a picture that somebody may hold a copy of; None when
        it was made at the counter's camera: no picture was kept, and frames of that camera embed
        so alike that a living person would be taken for a copy."""
        return None if self.terms.source == COUNTER_CAMERA else self.embedding

    def standing(self, now: datetime, limits: ReferenceLimits) -> Standing:
        """Return `stale` for a poor picture, and for one known to be older than the limit.

        Years are counted by their shortest length, 365 days: stale comes early rather than late.
        """
        terms = self.terms
        old_after = timedelta(days=365 * limits.stale_after_years)
        old = terms.portrait_at is not None and now - terms.portrait_at >= old_after
        return "stale" if old or terms.quality == "poor" else "current"


@dataclass(frozen=True, slots=True)
class SealedReference:
    """A reference as it rests on disk."""

    terms: ReferenceTerms
    key_id: str
    nonce: bytes
    ciphertext: bytes


def seal(
    reference: Reference,
    key: bytes,
    key_id: str,
    *,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> SealedReference:
    """Encrypt a reference under a 32-byte key. Raises ValueError on a key of another length."""
    nonce = random_bytes(_NONCE_BYTES)
    plain = np.ascontiguousarray(reference.embedding, dtype="<f4").tobytes()
    sealed = _cipher(key).encrypt(nonce, plain, reference.terms.associated_data(key_id))
    return SealedReference(reference.terms, key_id, nonce, sealed)


def open_sealed(sealed: SealedReference, key: bytes) -> Reference:
    """Decrypt a reference. Raises ReferenceUnreadable on another key, other terms or bytes."""
    name, plain = sealed.terms.reference_id, _plain(sealed, _cipher(key))
    if not plain or len(plain) % 4:
        raise ReferenceUnreadable(name, "it holds no embedding")
    embedding = np.frombuffer(plain, dtype="<f4").astype(np.float32)
    if not abs(float(np.linalg.norm(embedding)) - 1.0) < 1e-3:
        raise ReferenceUnreadable(name, "it holds no unit embedding")
    return Reference(sealed.terms, embedding)


def reseal(sealed: SealedReference, key: bytes, new_key: bytes, new_key_id: str) -> SealedReference:
    """Seal a reference again under another key. Raises ReferenceUnreadable when it does not open.

    What comes out is the same embedding bit for bit, bound as new references are.
    """
    return seal(open_sealed(sealed, key), new_key, new_key_id)


def _plain(sealed: SealedReference, cipher: AESGCM) -> bytes:
    """Rows from before the age and quality of pictures were kept are bound as they were then. That
    opens no door: a row of now does not open as one of then, whatever is written beside it."""
    terms = sealed.terms
    bound = (terms.associated_data(sealed.key_id), terms.first_associated_data(sealed.key_id))
    failed: Exception | None = None
    for associated in bound:
        if associated is not None:
            try:
                return cipher.decrypt(sealed.nonce, sealed.ciphertext, associated)
            # ValueError: a nonce of a length that the cipher does not know is a damaged row too.
            except (InvalidTag, ValueError) as exc:
                failed = exc
    raise ReferenceUnreadable(terms.reference_id, "its seal does not hold") from failed


def _cipher(key: bytes) -> AESGCM:
    if len(key) != _KEY_BYTES:
        raise ValueError("a reference key has 32 bytes")
    return AESGCM(key)


@dataclass(frozen=True, slots=True)
class EnrolmentRefused:
    """Why a picture cannot become a reference: a reason code with its instruction."""

    reason: str


def enrol(
    image: Image,
    *,
    detector: Detector,
    embedder: Embedder,
    policy: IdentityPolicy,
    reference_id: ReferenceId,
    person_ref: str,
    source: str,
    consent_id: ConsentId,
    expires_at: datetime,
    portrait_at: datetime | None = None,
) -> Reference | EnrolmentRefused:
    """Make a reference from one BGR picture that passes the quality gate.

    Raises InferenceFailed when a model fails.
    """
    chosen = dominant(detector.detect(image), policy.faces)
    if isinstance(chosen, str):
        return EnrolmentRefused(chosen)
    problem = instruction(measure_in(image, chosen), policy.quality.for_pictures())
    if problem is not None:
        return EnrolmentRefused(problem)
    terms = ReferenceTerms(
        reference_id=reference_id,
        person_ref=person_ref,
        contract_id=embedder.contract_id,
        source=source,
        consent_id=consent_id,
        expires_at=expires_at,
        portrait_at=portrait_at,
        quality=quality_of(chosen),
    )
    return Reference(terms, embedder.embed(image, chosen))


def quality_of(face: FaceDetection) -> Quality:
    """Return `poor` for a face that has to be enlarged to be embedded: detail was never there."""
    return "good" if face.inter_eye_px >= _TEMPLATE_EYES_PX else "poor"
