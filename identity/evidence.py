"""What is kept of one attempt: all that the decision rests on, and nothing else.

The decision is a pure function of this evidence, the reference, the policy, the calibration and
the models, so it can be made again from the sealed copy of it (`identity.replay`).
"""

from __future__ import annotations

from identity.looked import LookedFrame

__all__ = ["LookedFrame"]
