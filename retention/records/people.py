"""What records about people and their faces say, since decisions can be replayed.

As in `payloads.py`: a class is never changed after release, a new version gets a new class. A
second version of a kind is a subclass of the first, so whoever asks for the first gets both.
Nothing here can hold a picture, a crop or an embedding (invariant 9).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from retention.records.fields import Code, Count, Decimal, Digest, Frozen, Id, Moment, ShortText
from retention.records.payloads import (
    ConsentGiven,
    DecisionReceipt,
    IdentityDecided,
    ProxyDeclared,
    ReferenceEnrolled,
    SessionOpened,
)

AgeBand = Literal["under_14", "14_17", "18_39", "40_59", "60_69", "70_79", "80_up", "unknown"]
"""Age in whole years at the session, coarse: for the child rule and the fairness report."""

Sex = Literal["female", "male", "unknown"]
"""As the number on the identity document says."""

Side = Literal["left", "right"]
"""As the person at the counter has left and right."""


# -- the session ----------------------------------------------------------------------------------


class SessionOpened2(SessionOpened):
    """`age_band` and `sex` are the insured person's."""

    age_band: AgeBand
    sex: Sex


class ProxyDeclared2(ProxyDeclared):
    """`purchaser_age_band` and `purchaser_sex` are those of whoever collects."""

    purchaser_age_band: AgeBand
    purchaser_sex: Sex


# -- the decision ---------------------------------------------------------------------------------


class ChallengeGiven(Frozen):
    """A random challenge: the sides follow from the seed; `outcome` says how it was answered."""

    seed: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    sides: Annotated[tuple[Side, ...], Field(min_length=1, max_length=4)]
    outcome: Literal["passed", "failed", "not_finished"]


class DecisionReceipt2(DecisionReceipt):
    """A receipt that can be replayed.

    `comparisons` counts the compared attempts of this transaction, this one included;
    `false_match_rate_target` is of the whole transaction. The receipt permits settling up to
    `amount_limit` (None: any amount). `band` says where the score lies. `probe_digest` is the
    SHA-256 of the sealed evidence on the node, `camera_identity` what kind of device was looked
    through, `liveness_model` the digest of the passive models that were asked. `device` names the
    certified terminal or the fingerprint reader that vouched.
    """

    comparisons: Count
    amount_limit: Decimal | None
    band: Literal["accept", "grey", "below"] | None
    challenge: ChallengeGiven | None
    camera_identity: Code | None
    simulated: bool
    probe_digest: Digest | None
    reference_standing: Literal["current", "stale"] | None
    liveness_model: Digest | None
    runtime: ShortText | None
    device: ShortText | None
    age_band: AgeBand
    sex: Sex


class IdentityDecided2(IdentityDecided):
    receipt: DecisionReceipt2


class AttackSuspected(Frozen):
    """Liveness spoke against a face. Central hears of it at once; the person is told nothing."""

    session: Id | None
    receipt: Id
    subject_ref: Digest
    camera: Code
    signals: Annotated[tuple[Code, ...], Field(min_length=1, max_length=8)]


class FaceLocked(Frozen):
    """Too many suspected attacks: no face of this credential until a pharmacist attests."""

    person_ref: Digest
    suspicions: Count
    receipt: Id


class FaceUnlocked(Frozen):
    person_ref: Digest
    attested_by: Code
    receipt: Id


# -- consents, references, probes -----------------------------------------------------------------


class ConsentGiven2(ConsentGiven):
    """`notice_sha256` is the digest of the words that were shown; `guardian_ref` who agreed for a
    child."""

    notice_sha256: Digest
    guardian_ref: Digest | None


class ReferenceEnrolled2(ReferenceEnrolled):
    """`portrait_at` is when the picture was taken or its document issued, if that is known."""

    portrait_at: Moment | None
    quality: Literal["good", "poor"]


class ReferencesOutdated(Frozen):
    """The embedding contract changed: these many references wait for a new picture."""

    contract_id: Digest
    references: Count


class ReferencesRekeyed(Frozen):
    """References were sealed again under another key; `remaining` still wait for it."""

    from_key_id: Code
    to_key_id: Code
    references: Count
    remaining: Count


class ProbesErased(Frozen):
    """Sealed probe crops whose end had come, or whose person withdrew."""

    cause: Literal["expired", "consent_withdrawn"]
    receipts: Annotated[tuple[Id, ...], Field(min_length=1, max_length=500)]


class SubjectsCounted(Frozen):
    """How many people this node holds face references of, for the duty to file at 100,000."""

    controller: Code
    subjects: Count
    references: Count


# -- the pharmacist on duty -----------------------------------------------------------------------

DutyMethod = Literal["face", "secret"]


class PharmacistSignedIn(Frozen):
    pharmacist: Code
    counter: Code
    method: DutyMethod


class PharmacistPresence(Frozen):
    """Whether whoever signed in is still there; `absent` blocks lines that need a prescription."""

    pharmacist: Code
    counter: Code
    state: Literal["present", "doubtful", "absent"]
    method: DutyMethod
    reasons: Annotated[tuple[Code, ...], Field(min_length=1, max_length=4)]


class PharmacistSignedOut(Frozen):
    pharmacist: Code
    counter: Code
    cause: Literal["asked", "other_signed_in", "expired", "revoked"]
