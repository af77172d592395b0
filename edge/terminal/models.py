"""What the terminal sends. Frozen, unknown fields refused, amounts as strings.

Numbers and names are in clear only in these requests; a `repr` never shows them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from edge.verifier.protocol import MAX_PICTURE_BYTES
from retention.records.fields import Code, Count, Digest, Id, ShortText, Text

MAX_PICTURE_TEXT = (MAX_PICTURE_BYTES + 2) // 3 * 4
CERTIFICATE = {"type": "02", "number": "11010519491231002X"}
# Beyond these years a moment cannot be written in a record.
EARLIEST, LATEST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1900, 9999))
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
UUID = "0197b2c0-5f3a-7c11-9a51-2f6d5a3b9c01"


def _more_than_nothing(text: str) -> str:
    if Decimal(text) <= 0:
        raise ValueError("must be more than zero")
    return text


Quantity = Annotated[
    str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?$"), AfterValidator(_more_than_nothing)
]
Price = Annotated[str, Field(pattern=r"^[0-9]{1,8}(\.[0-9]{1,4})?$")]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]


def _like(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(frozen=True, extra="forbid", json_schema_extra={"examples": [example]})


class Certificate(BaseModel):
    """01 e-certificate token, 02 identity card, 03 social security card. Never stored."""

    model_config = _like(CERTIFICATE)

    type: Literal["01", "02", "03"]
    number: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{6,64}$", repr=False)]


class PairingRequest(BaseModel):
    model_config = _like({"code": "40718263", "name": "前台一号"})

    code: Annotated[str, Field(pattern=r"^[0-9]{8}$", repr=False)]
    name: Annotated[ShortText, Field(min_length=1)]


class ConsentTerms(BaseModel):
    """What was agreed to, and how; of whom is said beside it. Of a notice that is not this node's
    own (`GET /v1/notice`) the digest of the words that were shown is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    purpose: Code
    notice_version: Code
    notice_sha256: Digest | None = None
    method: Code
    operator: Code


class ConsentRequest(ConsentTerms):
    model_config = _like(
        {
            "certificate": CERTIFICATE,
            "purpose": "face_verification",
            "notice_version": "2026-11",
            "method": "signed_on_screen",
            "operator": "op-7",
        }
    )

    certificate: Certificate
    guardian: Certificate | None = None


class ReferenceRequest(BaseModel):
    model_config = _like(
        {
            "consent": UUID,
            "certificate": CERTIFICATE,
            "source": "id_card_chip",
            "picture_base64": "/9j/4AAQSkZJRg…",
        }
    )

    consent: Id
    certificate: Certificate
    source: Code
    portrait_at: Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)] | None = None
    picture_base64: Annotated[str, Field(min_length=4, max_length=MAX_PICTURE_TEXT, repr=False)]


class CameraReferenceRequest(BaseModel):
    """A reference of the session's subject, by the counter's camera or their card's portrait."""

    model_config = _like({"consent": UUID})

    consent: Id


class AuthorityReferenceRequest(BaseModel):
    """A reference of the session's subject, by the portrait that an authority keeps of them. Name
    and number go to the authority and are not kept."""

    model_config = _like({"consent": UUID, "certificate": CERTIFICATE, "name": "张小三"})

    consent: Id
    certificate: Certificate
    name: Annotated[Name, Field(repr=False)]


class ClaimRequest(BaseModel):
    """The insured person the purchase is claimed for."""

    model_config = _like({"certificate": CERTIFICATE, "name": "张小三", "insuplc_admdvs": "430100"})

    certificate: Certificate
    name: Annotated[Name, Field(repr=False)]
    insuplc_admdvs: Annotated[str, Field(pattern=r"^\d{6}$")]


class SessionRequest(BaseModel):
    model_config = _like(
        {
            "operator": "op-7",
            "claim": {"certificate": CERTIFICATE, "name": "张小三", "insuplc_admdvs": "430100"},
        }
    )

    operator: Code
    claim: ClaimRequest


class PrescriptionTerms(BaseModel):
    """A prescription without the person that it is written for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rx_no: Code
    source: Literal["electronic", "external_paper"]
    prescriber: Code
    valid_until: Annotated[AwareDatetime, Field(ge=EARLIEST, lt=LATEST)]
    document_sha256: Digest | None = None


class PrescriptionRequest(PrescriptionTerms):
    """`patient` is whom the prescription is written for, by the document he is known with."""

    model_config = _like(
        {
            "rx_no": "RX2026010200017",
            "source": "electronic",
            "patient": CERTIFICATE,
            "prescriber": "D430100012345",
            "valid_until": "2026-01-05T16:00:00Z",
            "document_sha256": None,
        }
    )

    patient: Certificate


class BasketLineRequest(BaseModel):
    model_config = _like(
        {
            "line": 1,
            "med_list_codg": "XA10BAA001A001010100483",
            "name": "盐酸二甲双胍片",
            "quantity": "2",
            "unit_price": "18.50",
            "prescription_required": False,
            "trace_codes": ["81000000000000000001", "81000000000000000002"],
        }
    )

    line: Count
    med_list_codg: Code
    name: Annotated[ShortText, Field(min_length=1)]
    quantity: Quantity
    unit_price: Price
    prescription_required: bool
    trace_codes: Annotated[tuple[Code, ...], Field(max_length=50)] = ()


class BasketRequest(BaseModel):
    """`total` may be sent as a check; the node adds up for itself."""

    model_config = _like(
        {
            "lines": [
                {
                    "line": 1,
                    "med_list_codg": "XA10BAA001A001010100483",
                    "name": "盐酸二甲双胍片",
                    "quantity": "2",
                    "unit_price": "18.50",
                    "prescription_required": False,
                    "trace_codes": [],
                }
            ],
            "total": "37.00",
        }
    )

    lines: Annotated[tuple[BasketLineRequest, ...], Field(min_length=1, max_length=60)]
    total: Annotated[str, Field(pattern=r"^[0-9]{1,12}\.[0-9]{2}$")] | None = None


class ProxyRequest(BaseModel):
    """代购(领)情况登记表. Every field may be left out, so that what is missing can be listed."""

    model_config = _like(
        {
            "certificate": {"type": "02", "number": "440524188001010014"},
            "name": "李小梅",
            "relation": "daughter",
            "reason": "患者卧床",
            "patient_signature_sha256": DIGEST,
            "purchaser_signature_sha256": DIGEST,
        }
    )

    certificate: Certificate | None = None
    name: Annotated[str | None, Field(max_length=64, repr=False)] = None
    relation: Code | None = None
    reason: Text | None = None
    patient_signature_sha256: Digest | None = None
    purchaser_signature_sha256: Digest | None = None


class AttestationRequest(BaseModel):
    model_config = _like(
        {"pharmacist": "ph-3", "secret": "correct horse", "document_type": "id_card"}
    )

    pharmacist: Code
    secret: Annotated[SecretStr, Field(min_length=1, max_length=128)]
    document_type: Literal[
        "id_card",
        "social_security_card",
        "electronic_certificate",
        "passport",
        "household_register",
        "other_official",
    ]


class SettlementRequest(BaseModel):
    """Node mode. The number goes to the platform and is not kept."""

    model_config = _like({"certificate": CERTIFICATE, "psn_no": "43000030281000128715"})

    certificate: Certificate
    psn_no: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{0,30}$", repr=False)] = ""


class SettlementReport(BaseModel):
    """External mode: what the pharmacy's own system settled."""

    model_config = _like({"authorisation": UUID, "outcome": "settled", "setl_id": "S20260102001"})

    authorisation: Id
    outcome: Literal["settled", "refused"]
    setl_id: Annotated[ShortText, Field(min_length=1)] | None = None


class CloseRequest(BaseModel):
    model_config = _like({"outcome": "settled"})

    outcome: Literal["settled", "self_paid", "abandoned", "refused"]
