"""The pharmacy's side of the demo: who stands at the counter, and what its system asks the node."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.simulators.demo_config import PHARMACIST
from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import (
    OTHER,
    PATIENT,
    Json,
    Person,
    PharmacyClient,
    ProblemResponse,
)
from hardware.simulated_actors import Actor
from hardware.simulated_people import load_people

SETTLE_SECONDS = 0.4  # a cast walks in before the attempt begins
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one scenario ended. `coverage` is covered / owed footage, in 0..1, once it is known."""

    name: str
    expected: str
    ok: bool
    decision: str | None = None
    reasons: tuple[str, ...] = ()
    gate: str | None = None
    session: str | None = None
    coverage: float | None = None
    detail: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the object that `--json` prints for this scenario."""
        return {
            "name": self.name,
            "decision": self.decision,
            "reasons": list(self.reasons),
            "gate": self.gate,
            "expected": self.expected,
            "ok": self.ok,
            "coverage": self.coverage,
            "detail": self.detail,
        }


@dataclass(slots=True)
class Visit:
    """One person at the counter: the session and what the API answered."""

    session: str
    person: Person = PATIENT
    decision: str | None = None
    reasons: tuple[str, ...] = ()
    gate: str | None = None
    settlement: str | None = None
    answers: list[Json] = field(default_factory=list)


class Counter:
    """The pharmacy's side of the demo."""

    def __init__(self, stack: DemoStack) -> None:
        self.stack = stack
        self.client: PharmacyClient = stack.pharmacy()

    def enrol(self) -> None:
        """Enrol the insured people from the pictures that their cards would hold."""
        for person, face in ((PATIENT, "person-a"), (OTHER, "person-b")):
            consent = self.client.consent(person)["consent"]
            self.client.enrol(consent, person, load_people().path(face, 1).read_bytes())

    def sign_in(self) -> None:
        """Sign the pharmacist in on duty."""
        self.client.sign_in(PHARMACIST, self.stack.pharmacist_secret)

    def arrive(self, *cast: Actor, person: Person = PATIENT) -> Visit:
        """Let people stand before the counter, open a session and enter the basket."""
        self.stack.cameras.control("counter").show(*cast)
        time.sleep(SETTLE_SECONDS)
        return self.open(person)

    def open(self, person: Person = PATIENT) -> Visit:
        """Open a session and enter the basket, whoever stands before the camera."""
        session = self.client.open(person)["session"]
        self.client.basket(session)
        return Visit(session, person)

    def verify(self, visit: Visit, *, awaited: str | None = None) -> None:
        """Verify as `looked` does."""
        _heard(visit, looked(self.client, visit.session, awaited=awaited))

    def look(self, visit: Visit) -> Json:
        """Ask for one look at whoever is there."""
        return _heard(visit, self.client.verify(visit.session))

    def attest(self, visit: Visit) -> None:
        answer = self.client.attest(visit.session, PHARMACIST, self.stack.pharmacist_secret)
        _heard(visit, answer)

    def authorise(self, visit: Visit) -> None:
        try:
            visit.answers.append(self.client.authorise(visit.session))
            visit.gate = "permitted"
        except ProblemResponse as exc:
            visit.gate = "refused:" + ",".join(exc.reasons)

    def settle(self, visit: Visit) -> Json:
        answer = self.client.settle(visit.session, visit.person)
        visit.settlement = answer["stage"]
        return answer

    def close(self, visit: Visit, outcome: str) -> None:
        self.client.close(visit.session, outcome)

    def complete(self, visit: Visit) -> None:
        """Authorise, settle and close a session that has an accepted identity."""
        self.authorise(visit)
        self.settle(visit)
        self.close(visit, "settled")


def looked(client: PharmacyClient, session: str, *, awaited: str | None = None) -> Json:
    """Verify as people do; return the last answer. Who is told to try again, or did not turn in
    time when asked, tries again, as the product allows: on a busy machine too few pictures are
    seen, and the first still show who stood there before. `awaited` is the reason for which
    nobody tries again, because who stands there is why."""
    for _ in range(ATTEMPTS - 1):
        answer = client.verify(session)
        reasons = [reason["code"] for reason in answer["reasons"]]
        tries = answer["outcome"] == "RETRY" or reasons == ["CHALLENGE_FAILED"]
        if not tries or reasons == [awaited]:
            return answer
    return client.verify(session)


def _heard(visit: Visit, answer: Json) -> Json:
    visit.decision = answer["outcome"]
    visit.reasons = tuple(reason["code"] for reason in answer["reasons"])
    return answer


Scenario = Callable[[Counter], Outcome]


def outcome_of(visit: Visit, name: str, expected: str, ok: bool) -> Outcome:
    """Return how a scenario ended, as the visit last stood."""
    return Outcome(
        name=name,
        expected=expected,
        ok=ok,
        decision=visit.decision,
        reasons=visit.reasons,
        gate=visit.gate,
        session=visit.session,
    )


def refused(visit: Visit) -> bool:
    """Say whether the gate refused."""
    return visit.gate is not None and visit.gate.startswith("refused:")


def closed_gap(
    stack: DemoStack, camera: str, after: float, seconds: float
) -> tuple[int, int] | None:
    """Return the gap in a camera's footage that ended after a moment (Unix seconds), once it is
    closed, as microseconds from and to."""
    store = stack.edge_config.open_store()

    def newest() -> tuple[int, int] | None:
        with store.read() as connection:
            row = connection.execute(
                "SELECT started_at, ended_at FROM gaps WHERE camera = ? AND layer = 'footage'"
                " AND ended_at > ? ORDER BY started_at LIMIT 1",
                (camera, int(after * 1e6)),
            ).fetchone()
        return (row[0], row[1]) if row is not None else None

    try:
        wait_until(lambda: newest() is not None, seconds)
        return newest()
    finally:
        store.close()


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
