"""A sealed reference opens only under its key, for its person, consent and contract."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.errors import ReferenceUnreadable
from identity.policy import IdentityPolicy
from identity.references import EnrolmentRefused, Reference, enrol, open_sealed, seal
from models.values import FaceDetection
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
    ],
)
def test_changed_terms_do_not_open(change: dict[str, object]) -> None:
    sealed = seal(support.reference(unit_vector(2)), KEY, "k1")
    other = dataclasses.replace(sealed.terms, **change)  # type: ignore[arg-type]
    with pytest.raises(ReferenceUnreadable):
        open_sealed(dataclasses.replace(sealed, terms=other), KEY)


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
