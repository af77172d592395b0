"""What identity refuses, as nouns with facts. No message carries a name, a number or a vector."""

from __future__ import annotations

from decimal import Decimal

from retention.records.errors import UsageError


class IdentityError(Exception):
    """Base of every refusal in this package."""


class PolicyRefused(IdentityError, UsageError):
    """An identity policy that cannot be used; the message names source, key and allowed range."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source, self.reason = source, reason


class CalibrationUnreadable(IdentityError):
    """A calibration file that is damaged or of another format."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"Calibration {source} cannot be used: {reason}")
        self.source, self.reason = source, reason


class CalibrationMismatch(IdentityError):
    """The calibration was made under another embedding contract."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"Calibration is of contract {found[:12]}, the model's is {expected[:12]}")
        self.found, self.expected = found, expected


class CalibrationOfMoreFrames(IdentityError):
    """The policy fuses fewer frames than the calibration, so its scores scatter more."""

    def __init__(self, wanted: int, calibrated: int) -> None:
        super().__init__(f"Calibration is of {calibrated} fused frames, the policy fuses {wanted}")
        self.wanted, self.calibrated = wanted, calibrated


class UnsupportedFalseMatchRate(IdentityError):
    """The calibration holds too few comparisons to support the target."""

    def __init__(self, target: Decimal, smallest: Decimal) -> None:
        super().__init__(
            f"A false match rate of {target} is not supported by this calibration; "
            f"the smallest supported is about {smallest:.1e}"
        )
        self.target, self.smallest = target, smallest


class ImageRefused(IdentityError):
    """A picture that cannot be read safely."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"Picture {source}: {reason}")
        self.source, self.reason = source, reason


class ProtocolRefused(IdentityError, UsageError):
    """A list of comparisons that cannot be used; the message names file and line."""

    def __init__(self, source: str, line: int, reason: str) -> None:
        super().__init__(f"{source}:{line}: {reason}")
        self.source, self.line, self.reason = source, line, reason


class NothingCompared(IdentityError):
    """No mated or no non-mated comparison could be made, so there is no rate to tell."""

    def __init__(self, made: int, wanted: int) -> None:
        super().__init__(
            f"{made} of {wanted} comparisons could be made; mated and non-mated ones are needed"
        )
        self.made, self.wanted = made, wanted


class ReferenceUnreadable(IdentityError):
    """A sealed reference that does not open: other key, other ids, or changed bytes."""

    def __init__(self, reference_id: str, reason: str) -> None:
        super().__init__(f"Reference {reference_id} cannot be opened: {reason}")
        self.reference_id, self.reason = reference_id, reason


class DecisionInvalid(IdentityError):
    """A decision that contradicts itself, such as ACCEPT without evidence."""


class EvidenceUnreadable(IdentityError):
    """Kept evidence of an attempt that is damaged, too large or of another format."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The evidence cannot be read: {reason}")
        self.reason = reason
