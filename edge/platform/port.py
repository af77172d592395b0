"""The port through which a node settles. Whoever calls it has committed the attempt before.

A call ends in exactly one of: a definite answer, or SettlementUnknown. Everything that is not a
definite answer (timeout, broken connection, garbage) is unknown, and is reversed by its caller;
no adapter ever sends a settlement twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from retention.records.payloads import BasketLine


@dataclass(frozen=True, slots=True)
class InsuredPerson:
    """In clear, in memory, for the length of one call only."""

    mdtrt_cert_type: str
    mdtrt_cert_no: str
    psn_no: str

    def __repr__(self) -> str:
        return "InsuredPerson(…)"


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """One settlement. `msgid` is fresh for every message; the key is the basket's for ever."""

    msgid: str
    idempotency_key: str
    session: str
    authorisation: str
    operator: str
    insuplc_admdvs: str
    person: InsuredPerson
    rx_no: str | None
    lines: tuple[BasketLine, ...]
    total: str


@dataclass(frozen=True, slots=True)
class ReverseRequest:
    """Undo what the message `original_msgid` may have done."""

    msgid: str
    original_msgid: str
    session: str
    operator: str
    insuplc_admdvs: str


@dataclass(frozen=True, slots=True)
class Settled:
    setl_id: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The platform said no, or was certainly never reached."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reversed:
    """Nothing of the original message stands. `reason` says what the platform held."""

    reason: str


class SettlementUnknown(Exception):
    """No definite answer came: the settlement may or may not stand."""


class SettlementPort(Protocol):
    """The platform, as the settlement of a session sees it."""

    def new_msgid(self) -> str:
        """Return a message id that was never used before."""
        ...

    def settle(self, request: SettleRequest) -> Settled | Rejected:
        """Settle once. Raises SettlementUnknown."""
        ...

    def reverse(self, request: ReverseRequest) -> Reversed | Rejected:
        """Reverse an unknown result. Raises SettlementUnknown."""
        ...
