"""What the terminal asks about the pharmacist on duty, and what comes back: the messages alone.

Apart from `edge.verifier.duty`, which looks and therefore needs the models' packages: the terminal
process loads none of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.verifier.protocol import DutyRequest
from retention.records.fields import Code, Frozen


class SignInByFace(DutyRequest):
    """Look at the pharmacist now, one to one; when it is them, they are on duty and present at this
    counter. Asked again by whoever is on duty, it confirms that they are there."""

    do: Literal["duty_sign_in"] = "duty_sign_in"
    pharmacist: Code


class DutyLooked(Frozen):
    """What came of it. `reasons` are reason codes; there is never a score."""

    answer: Literal["duty"] = "duty"
    accepted: bool
    reasons: Annotated[tuple[Code, ...], Field(min_length=1, max_length=4)]
