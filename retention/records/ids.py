"""Typed identifiers. Every id that we make is a UUIDv7 (RFC 9562), so ids sort by time of birth.

Ids come from an `IdSource` that is passed in, never from a global, so that tests repeat.
"""

from __future__ import annotations

import random
import uuid
from typing import NewType, Protocol

import uuid_utils

AgencyId = NewType("AgencyId", str)
PharmacyId = NewType("PharmacyId", str)
NodeId = NewType("NodeId", str)
CounterId = NewType("CounterId", str)
CameraId = NewType("CameraId", str)
RecordId = NewType("RecordId", str)
RunId = NewType("RunId", str)
SegmentId = NewType("SegmentId", str)
GapId = NewType("GapId", str)
SessionId = NewType("SessionId", str)
ReceiptId = NewType("ReceiptId", str)
AuthorisationId = NewType("AuthorisationId", str)
ReferenceId = NewType("ReferenceId", str)
ConsentId = NewType("ConsentId", str)
TerminalId = NewType("TerminalId", str)
CommandId = NewType("CommandId", str)


class IdSource(Protocol):
    """Where new identifiers and salts come from."""

    def new(self) -> str:
        """Return a new UUIDv7 in its 36-character form."""
        ...

    def salt(self) -> str:
        """Return 128 random bits as 32 hexadecimal digits."""
        ...


class SystemIds:
    """Identifiers from the operating system's randomness and clock."""

    def new(self) -> str:
        return str(uuid_utils.uuid7())

    def salt(self) -> str:
        return random.SystemRandom().randbytes(16).hex()


class SeededIds:
    """Repeatable identifiers for tests: UUIDv7-shaped, ordered, from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose, tests only
        self._count = 0

    def new(self) -> str:
        self._count += 1
        value = (self._count << 80) | (0x7 << 76) | self._random.getrandbits(76)
        value = (value & ~(0x3 << 62)) | (0x2 << 62)
        return str(uuid.UUID(int=value))

    def salt(self) -> str:
        return self._random.randbytes(16).hex()
