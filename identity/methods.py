"""The ways in which a person can be verified. Face is one of them, and never the only one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How a decision came about, as receipts name it."""

    FACE = "face"
    DOCUMENT_ATTESTED = "document_attested"
    CERTIFIED_TERMINAL = "certified_terminal"
    FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True)
class MethodTerms:
    """What a method is called, and who or what vouches for its result."""

    method: Method
    zh: str
    en: str
    vouched_by: str


METHODS: tuple[MethodTerms, ...] = (
    MethodTerms(Method.FACE, "人脸核验", "Face", "this node's models and policy"),
    MethodTerms(
        Method.DOCUMENT_ATTESTED,
        "药师核对证件",
        "Document compared by a pharmacist",
        "a pharmacist with a credential of their own",
    ),
    MethodTerms(
        Method.CERTIFIED_TERMINAL,
        "医保业务综合服务终端",
        "Certified terminal",
        "the terminal's own signed result",
    ),
    MethodTerms(
        Method.FINGERPRINT,
        "指纹核验",
        "Fingerprint",
        "the reader's operator",
    ),
)
