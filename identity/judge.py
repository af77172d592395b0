"""The verdict on one attempt: a pure function of its evidence and of what it was asked under.

The live attempt calls it once its evidence is complete, `identity.replay` calls it again on the
sealed copy: the same inputs give the same verdict and the same values (invariant 11).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from identity.calibration import LoadedCalibration
from identity.decision import Decision
from identity.evidence import AttemptEvidence
from identity.policy import IdentityPolicy
from identity.references import Reference
from models.values import Embedder

Standing = Literal["current", "stale"]


def judge(
    evidence: AttemptEvidence,
    *,
    reference: Reference | None,
    standing: Standing,
    policy: IdentityPolicy,
    calibration: LoadedCalibration,
    embedder: Embedder,
    passive: object | None,
    amount: Decimal | None,
    comparisons_before: int,
) -> Decision:
    """Return the decision on this evidence. Raises what the models raise; the attempt translates.

    Not built yet: raises NotImplementedError. The signature is final.
    """
    raise NotImplementedError
