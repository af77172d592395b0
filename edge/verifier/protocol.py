"""What the terminal asks of the verifier process, over a local socket, and what comes back.

The verifier appends the decision's record itself before it answers, so a terminal that dies in
between loses nothing but the answer. Pictures go in, receipts come out.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from retention.records.fields import Code, Count, Decimal, Digest, Frozen, Id, Moment, Text
from retention.records.people import AgeBand, IdentityDecided2, Sex

MAX_PICTURE_BYTES = 8 * 1024 * 1024
# Topics of the live socket: [STATE, LiveState as JSON] and [PICTURE, session, JPEG].
STATE, PICTURE = b"state", b"picture"


class Request(Frozen):
    """Base of what is asked for a counter; its camera's worker carries it out.

    `until_ns`: from then on (monotonic clock of this machine) nobody waits for the answer, and the
    request is not carried out. Somebody else may be standing at the counter by then.
    """

    counter: Code
    until_ns: Count | None = None


class VerifyFace(Request):
    """Run one attempt at the counter's camera now.

    `amount` in yuan decides which band must be reached (None: not known yet; the receipt then says
    up to which amount it is good). `comparisons` counts the compared attempts of this transaction
    before this one.
    """

    do: Literal["verify"] = "verify"
    session: Id
    claim_digest: Digest
    subject_ref: Digest
    subject_role: Literal["patient", "proxy"]
    attempt: Count
    amount: Decimal | None
    comparisons: Count
    age_band: AgeBand
    sex: Sex


class Enrol(Request):
    """Make a reference of a picture (second frame: the image file's bytes). `portrait_at` is when
    the picture was taken, or its document issued, if that is known."""

    do: Literal["enrol"] = "enrol"
    person_ref: Digest
    consent: Id
    source: Code
    portrait_at: Moment | None = None
    age_band: AgeBand = "unknown"


class EnrolFromCamera(Request):
    """Make a reference of the living person at the counter's camera now. A photograph held up is
    refused: the liveness signals must pass. The counter sees it as an attempt of `session`."""

    do: Literal["enrol_camera"] = "enrol_camera"
    person_ref: Digest
    consent: Id
    session: Id | None = None
    age_band: AgeBand = "unknown"


class DutyRequest(Request):
    """Base of what is asked about the pharmacist on duty (`edge.verifier.duty`)."""


class Ping(Frozen):
    """Is the verifier there? Answered at once, also while attempts run."""

    do: Literal["ping"] = "ping"


class Ready(Frozen):
    answer: Literal["ready"] = "ready"


class Decided(Frozen):
    answer: Literal["decided"] = "decided"
    decided: IdentityDecided2


class Enrolled(Frozen):
    answer: Literal["enrolled"] = "enrolled"
    reference: Id
    expires_at: Annotated[str, Field(max_length=40)]


class EnrolmentRefused(Frozen):
    """Nothing was done: an enrolment not accepted, or any request that cannot be carried out.

    Of any request: INVALID_REQUEST, DEADLINE (nobody waits any more), BUSY (too many wait for this
    camera), FACE_METHOD_OFF, STORAGE_UNAVAILABLE, INTERNAL_ERROR. Of an enrolment also NO_CONSENT,
    CHILD_NO_FACE, IMAGE_REFUSED and the reason codes of capture and liveness.
    """

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

    def verify(self, request: VerifyFace) -> IdentityDecided2:
        """Return the recorded, signed decision. Raises VerifierUnavailable."""
        ...

    def enrol(self, request: Enrol, picture: bytes) -> Enrolled | EnrolmentRefused:
        """Store a sealed reference. Raises VerifierUnavailable."""
        ...

    def enrol_from_camera(self, request: EnrolFromCamera) -> Enrolled | EnrolmentRefused:
        """Store a sealed reference of who stands at the counter. Raises VerifierUnavailable."""
        ...

    def ask(self, request: Request) -> bytes:
        """Return the answer to a request of another kind, as JSON. Raises VerifierUnavailable."""
        ...
