"""A sealed reference opens only under its key, for its person, consent and contract."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import ReferenceUnreadable
from identity.policy import IdentityPolicy
from identity.references import (
    EnrolmentRefused,
    Reference,
    SealedReference,
    enrol,
    open_sealed,
    quality_of,
    reseal,
    seal,
)
from models.values import FaceDetection
from retention.records.canonical import canonical_bytes
from retention.records.clock import to_text
from retention.records.ids import ConsentId, ReferenceId
from tests.identity import support
from tests.identity.support import ScriptedModels, face_at, unit_vector

KEY = bytes(range(32))


def enrolled(models: ScriptedModels, policy: IdentityPolicy) -> Reference | EnrolmentRefused:
    return enrol(
        support.turning_head(0)[0],
        detector=models,
        embedder=models,
        policy=policy,
        reference_id=ReferenceId("0197a000-0000-7000-8000-000000000001"),
        person_ref="ef" * 32,
        source="document_photo",
        consent_id=ConsentId("0197a000-0000-7000-8000-000000000002"),
        expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    )


def models_seeing(*faces: FaceDetection) -> ScriptedModels:
    return ScriptedModels(lambda _: faces, lambda _: unit_vector(3))


def test_what_is_sealed_opens_to_the_same_reference() -> None:
    reference = support.reference(unit_vector(2, 0.4))
    opened = open_sealed(seal(reference, KEY, "k1"), KEY)
    assert opened.terms == reference.terms
    np.testing.assert_array_equal(opened.embedding, reference.embedding)


def test_the_sealed_form_shows_nothing_and_never_repeats() -> None:
    reference = support.reference(unit_vector(2))
    first, second = seal(reference, KEY, "k1"), seal(reference, KEY, "k1")
    assert reference.embedding.tobytes()[:16] not in first.ciphertext
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext


@pytest.mark.parametrize(
    "change",
    [
        {"reference_id": "0197a000-0000-7000-8000-000000000009"},
        {"person_ref": "aa" * 32},
        {"contract_id": "00" * 32},
        {"source": "counter_camera"},
        {"consent_id": "0197a000-0000-7000-8000-000000000009"},
        {"expires_at": datetime(2040, 1, 1, tzinfo=UTC)},
        {"portrait_at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"quality": "poor"},
    ],
)
def test_changed_terms_do_not_open(change: dict[str, object]) -> None:
    sealed = seal(support.reference(unit_vector(2)), KEY, "k1")
    other = dataclasses.replace(sealed.terms, **change)  # type: ignore[arg-type]
    with pytest.raises(ReferenceUnreadable):
        open_sealed(dataclasses.replace(sealed, terms=other), KEY)


def dated(**changes: object) -> Reference:
    taken = {"portrait_at": datetime(2010, 1, 1, tzinfo=UTC), "quality": "poor"}
    return support.reference(unit_vector(2), **(taken | changes))


@pytest.mark.parametrize(
    "change",
    [
        {"portrait_at": None},
        {"portrait_at": datetime(2025, 1, 1, tzinfo=UTC)},
        {"quality": "good"},
        {"portrait_at": None, "quality": "good"},
    ],
)
def test_a_picture_is_not_made_younger_or_better_by_writing_so(change: dict[str, object]) -> None:
    sealed = seal(dated(), KEY, "k1")
    assert open_sealed(sealed, KEY).terms.quality == "poor"
    other = dataclasses.replace(sealed.terms, **change)  # type: ignore[arg-type]
    with pytest.raises(ReferenceUnreadable):
        open_sealed(dataclasses.replace(sealed, terms=other), KEY)


def sealed_before(reference: Reference) -> SealedReference:
    """Seal as it was done before the age and quality of pictures were kept."""
    terms = reference.terms
    bound = canonical_bytes(
        {
            "reference_id": terms.reference_id,
            "person_ref": terms.person_ref,
            "contract_id": terms.contract_id,
            "source": terms.source,
            "consent_id": terms.consent_id,
            "expires_at": to_text(terms.expires_at),
            "key_id": "k1",
        }
    )
    plain = reference.embedding.astype("<f4").tobytes()
    sealed = AESGCM(KEY).encrypt(b"n" * 12, plain, bound)
    return SealedReference(terms, "k1", b"n" * 12, sealed)


def test_a_row_from_before_opens_as_it_is_and_cannot_be_given_an_age() -> None:
    reference = support.reference(unit_vector(2, 0.4))
    sealed = sealed_before(reference)
    np.testing.assert_array_equal(open_sealed(sealed, KEY).embedding, reference.embedding)
    for change in ({"portrait_at": datetime(2025, 1, 1, tzinfo=UTC)}, {"quality": "poor"}):
        other = dataclasses.replace(sealed.terms, **change)  # type: ignore[arg-type]
        with pytest.raises(ReferenceUnreadable):
            open_sealed(dataclasses.replace(sealed, terms=other), KEY)


def test_sealed_again_it_is_the_same_bit_for_bit_and_bound_as_now() -> None:
    reference, new_key = support.reference(unit_vector(2, 0.4)), bytes(range(1, 33))
    for sealed in (sealed_before(reference), seal(reference, KEY, "k1")):
        again = reseal(sealed, KEY, new_key, "k2")
        assert again.key_id == "k2"
        assert open_sealed(again, new_key).embedding.tobytes() == reference.embedding.tobytes()
        bound = reference.terms.associated_data("k2")
        assert AESGCM(new_key).decrypt(again.nonce, again.ciphertext, bound)
        with pytest.raises(ReferenceUnreadable):
            open_sealed(again, KEY)


def test_what_does_not_open_is_not_sealed_again() -> None:
    sealed = seal(support.reference(unit_vector(2)), KEY, "k1")
    with pytest.raises(ReferenceUnreadable):
        reseal(sealed, bytes(32), KEY, "k2")


# -- age and quality ------------------------------------------------------------------------------

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEARS_10 = timedelta(days=3650)


@pytest.mark.parametrize(
    ("portrait_at", "quality", "expected"),
    [
        (None, "good", "current"),
        (None, "poor", "stale"),
        (NOW, "poor", "stale"),
        (NOW - YEARS_10 + timedelta(seconds=1), "good", "current"),
        (NOW - YEARS_10, "good", "stale"),
        (NOW + timedelta(days=1), "good", "current"),
    ],
)
def test_a_poor_picture_and_one_known_to_be_old_are_stale(
    policy: IdentityPolicy, portrait_at: datetime | None, quality: str, expected: str
) -> None:
    assert policy.reference.stale_after_years == 10
    reference = dated(portrait_at=portrait_at, quality=quality)
    assert reference.standing(NOW, policy.reference) == expected


@pytest.mark.parametrize(("scale", "expected"), [(1.0, "good"), (0.55, "poor")])
def test_a_face_that_must_be_enlarged_makes_a_poor_reference(
    policy: IdentityPolicy, scale: float, expected: str
) -> None:
    face = face_at(support.turning_head(0)[1])
    eyes = 60.0 * scale
    small = dataclasses.replace(
        face, landmarks=(face.landmarks * (eyes / face.inter_eye_px)).astype(np.float32)
    )
    assert quality_of(small) == expected


@pytest.mark.parametrize("nonce", [b"", b"n" * 7, b"n" * 300])
def test_a_damaged_nonce_is_one_clear_refusal(nonce: bytes) -> None:
    sealed = seal(support.reference(unit_vector(2)), KEY, "k1")
    with pytest.raises(ReferenceUnreadable):
        open_sealed(dataclasses.replace(sealed, nonce=nonce), KEY)


def test_another_key_or_key_id_does_not_open() -> None:
    sealed = seal(support.reference(unit_vector(2)), KEY, "k1")
    with pytest.raises(ReferenceUnreadable):
        open_sealed(sealed, bytes(32))
    with pytest.raises(ReferenceUnreadable):
        open_sealed(dataclasses.replace(sealed, key_id="k2"), KEY)
    with pytest.raises(ValueError, match="32 bytes"):
        seal(support.reference(unit_vector(2)), b"short", "k1")


@given(place=st.integers(0, 527), bit=st.integers(0, 7))
def test_no_changed_bit_opens(place: int, bit: int) -> None:
    sealed = seal(support.reference(unit_vector(2)), KEY, "k1")
    changed = bytearray(sealed.ciphertext)
    changed[place] ^= 1 << bit
    with pytest.raises(ReferenceUnreadable):
        open_sealed(dataclasses.replace(sealed, ciphertext=bytes(changed)), KEY)


@pytest.mark.parametrize("vector", [np.zeros(128), np.full(128, np.nan), np.ones(128), np.ones(0)])
def test_a_seal_around_something_else_does_not_open(
    vector: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    sealed = seal(support.reference(vector.astype(np.float32)), KEY, "k1")
    with pytest.raises(ReferenceUnreadable):
        open_sealed(sealed, KEY)


def test_one_good_face_enrols(policy: IdentityPolicy) -> None:
    made = enrolled(models_seeing(face_at(support.turning_head(0)[1])), policy)
    assert isinstance(made, Reference)
    assert made.terms.contract_id == support.CONTRACT
    assert made.embedding.tolist() == unit_vector(3).tolist()


def test_no_face_or_two_or_a_tiny_one_do_not_enrol(policy: IdentityPolicy) -> None:
    landmarks = support.turning_head(0)[1]
    both = (face_at(landmarks), face_at(landmarks, 0.7, shift=50))
    assert enrolled(models_seeing(), policy) == EnrolmentRefused("NO_FACE")
    assert enrolled(models_seeing(*both), policy) == EnrolmentRefused("MULTIPLE_FACES")
    tiny = models_seeing(face_at(landmarks, 0.3))
    assert enrolled(tiny, policy) == EnrolmentRefused("FACE_TOO_SMALL")
    assert tiny.embedded == 0
