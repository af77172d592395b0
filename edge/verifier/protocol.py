"""What the terminal asks of the verifier process, over a local socket, and what comes back.

The verifier appends the decision's record itself before it answers, so a terminal that dies in
between loses nothing but the answer. Pictures go in, receipts come out.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from retention.records.fields import Code, Count, Digest, Frozen, Id, Text
from retention.records.payloads import IdentityDecided

MAX_PICTURE_BYTES = 8 * 1024 * 1024
# Topics of the live socket: [STATE, LiveState as JSON] and [PICTURE, session, JPEG].
STATE, PICTURE = b"state", b"picture"


class _Request(Frozen):
    """`until_ns`: from then on (monotonic clock of this machine) nobody waits for the answer, and
    the request is not carried out. Somebody else may be standing at the counter by then."""

    until_ns: Count | None = None


class VerifyFace(_Request):
    """Run one attempt at the counter's camera now."""

    do: Literal["verify"] = "verify"
    session: Id
    counter: Code
    claim_digest: Digest
    subject_ref: Digest
    subject_role: Literal["patient", "proxy"]
    attempt: Count


class Enrol(_Request):
    """Make a reference of a picture (second frame: the image file's bytes)."""

    do: Literal["enrol"] = "enrol"
    person_ref: Digest
    consent: Id
    counter: Code
    source: Code


class Ping(Frozen):
    """Is the verifier there? Answered at once when no attempt is running."""

    do: Literal["ping"] = "ping"


class Ready(Frozen):
    answer: Literal["ready"] = "ready"


class Decided(Frozen):
    answer: Literal["decided"] = "decided"
    decided: IdentityDecided


class Enrolled(Frozen):
    answer: Literal["enrolled"] = "enrolled"
    reference: Id
    expires_at: Annotated[str, Field(max_length=40)]


class EnrolmentRefused(Frozen):
    """Nothing was done: an enrolment not accepted, or any request that cannot be carried out."""

    answer: Literal["refused"] = "refused"
    code: Code
    detail: Text


class LiveState(Frozen):
    """Where the verifier stands. `idle` is its heartbeat; the rest is of one attempt.

    `instruction` is a reason code, `frames_used` of `frames_wanted` are compared, `seconds_left`
    counts to the end of the attempt. An ended attempt says nothing of its outcome.
    """

    state: Literal["idle", "looking", "ended"]
    session: Id | None = None
    attempt: Count = 0
    instruction: Code | None = None
    frames_used: Count = 0
    frames_wanted: Count = 0
    seconds_left: Annotated[float, Field(ge=0, le=600)] = 0.0


class VerifierUnavailable(Exception):
    """The verifier process did not answer in time or is not running."""


class Verifier(Protocol):
    """The terminal's view of the verifier."""

    def verify(self, request: VerifyFace) -> IdentityDecided:
        """Return the recorded, signed decision. Raises VerifierUnavailable."""
        ...

    def enrol(self, request: Enrol, picture: bytes) -> Enrolled | EnrolmentRefused:
        """Store a sealed reference. Raises VerifierUnavailable."""
        ...
