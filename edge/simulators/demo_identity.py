"""The part of the demo's script that is about who stands at the counter, and for whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from edge.simulators.demo_counter import Counter, Outcome, outcome_of, refused
from edge.simulators.pharmacy import CHILD, DAUGHTER, OTHER, line
from hardware.simulated_actors import Genuine, HeldPhoto, Static

INSURED = Genuine("person-a", 2)
ANOTHER = Genuine("person-b", 1)
LARGE = "1500.00"  # yuan, above the first band of the built-in policy
MOST_LOOKS = 12  # asked for at a photograph that is held up, over all its sessions


def genuine(counter: Counter) -> Outcome:
    visit = counter.arrive(INSURED)
    counter.verify(visit)
    if visit.decision == "ACCEPT":
        counter.complete(visit)
    ok = (visit.decision, visit.gate, visit.settlement) == ("ACCEPT", "permitted", "settled")
    return outcome_of(visit, "genuine_insured", "ACCEPT, permitted, settled", ok)


def another_person(counter: Counter) -> Outcome:
    visit = counter.arrive(ANOTHER)
    counter.verify(visit)
    counter.authorise(visit)
    counter.close(visit, "refused")
    ok = visit.decision == "REFER" and "MISMATCH" in visit.reasons and refused(visit)
    return outcome_of(visit, "another_person", "REFER MISMATCH, refused, flagged", ok)


def nobody(counter: Counter) -> Outcome:
    visit = counter.arrive()
    counter.verify(visit)
    counter.close(visit, "abandoned")
    ok = (visit.decision, visit.reasons) == ("RETRY", ("NO_FACE",))
    return outcome_of(visit, "nobody_in_view", "RETRY NO_FACE", ok)


def two_people(counter: Counter) -> Outcome:
    visit = counter.arrive(replace(INSURED, x=0.3), replace(ANOTHER, x=0.7))
    counter.verify(visit)
    counter.close(visit, "abandoned")
    ok = (visit.decision, visit.reasons) == ("RETRY", ("MULTIPLE_FACES",))
    return outcome_of(visit, "two_people", "RETRY MULTIPLE_FACES", ok)


def held_photograph(counter: Counter) -> Outcome:
    """Never accepted; suspected often enough it locks the credential, until a pharmacist attests
    the document. Nobody is told why. Held in a hand it may pass for somebody who did not turn;
    laid on a stand it is suspected each time."""
    visit = counter.arrive(HeldPhoto("person-b", 1), person=OTHER)
    accepted = counter.look(visit)["outcome"] == "ACCEPT"
    counter.stack.cameras.control("counter").show(Static("person-b", 1))
    for _ in range(MOST_LOOKS):
        accepted = accepted or counter.look(visit)["outcome"] == "ACCEPT"
        if "FACE_LOCKED" in visit.reasons:
            break
        if "ATTEMPTS_EXHAUSTED" in visit.reasons:
            counter.close(visit, "refused")
            visit = counter.open(OTHER)
    locked = "FACE_LOCKED" in visit.reasons
    counter.authorise(visit)
    stopped, reasons, gate = refused(visit), visit.reasons, visit.gate
    counter.attest(visit)
    unlocked = counter.client.session(visit.session)["no_face"] is None
    counter.close(visit, "abandoned")
    visit.decision, visit.reasons, visit.gate = "REFER", reasons, gate
    ok = locked and unlocked and stopped and not accepted
    expected = "not accepted, locked, unlocked by attestation"
    return outcome_of(visit, "held_photograph", expected, ok)


def guardian_of_child(counter: Counter) -> Outcome:
    """No face of the child: the guardian is registered and verified."""
    visit = counter.arrive(ANOTHER, person=CHILD)
    counter.look(visit)
    no_face = visit.reasons == ("CHILD_NO_FACE",)
    counter.client.proxy(visit.session, DAUGHTER, relation="parent", reason="孩子发烧")
    counter.attest(visit)
    counter.complete(visit)
    ok = no_face and (visit.gate, visit.settlement) == ("permitted", "settled")
    return outcome_of(visit, "guardian_of_child", "no face of the child, settled", ok)


def large_amount(counter: Counter) -> Outcome:
    """A match that is strong enough for a small amount only does not settle a large one."""
    visit = counter.arrive(INSURED)
    counter.verify(visit)
    limit = counter.client.session(visit.session)["decision"]["decided"]["receipt"]["amount_limit"]
    counter.client.basket(visit.session, [line(unit_price=LARGE)])
    counter.authorise(visit)
    good, detail = visit.decision == "ACCEPT", "the match was strong enough for any amount"
    if limit is not None:
        good = good and visit.gate == "refused:AMOUNT_TOO_HIGH"
        detail = f"refused above {limit}, then attested"
        counter.attest(visit)
    counter.complete(visit)
    ok = good and (visit.gate, visit.settlement) == ("permitted", "settled")
    expected = "refused above the receipt's amount, else settled"
    return replace(outcome_of(visit, "large_amount", expected, ok), detail=detail)


def pharmacist_absent(counter: Counter) -> Outcome:
    """Prescription medicines wait for the pharmacist; everything else did not."""
    visit = counter.arrive(INSURED)
    counter.attest(visit)
    counter.client.basket(visit.session, [line(prescription_required=True)])
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    counter.client.prescription(visit.session, valid_until=tomorrow)
    counter.authorise(visit)
    waited = visit.gate == "refused:PHARMACIST_ABSENT"
    counter.sign_in()
    counter.complete(visit)
    ok = waited and (visit.gate, visit.settlement) == ("permitted", "settled")
    return outcome_of(visit, "pharmacist_absent", "refused, signed in, settled", ok)


def proxy(counter: Counter) -> Outcome:
    visit = counter.arrive(ANOTHER)
    counter.client.proxy(visit.session, DAUGHTER)
    counter.attest(visit)
    counter.complete(visit)
    permission = visit.answers[-1]["authorisation"] if visit.answers else {}
    ok = visit.gate == "permitted" and permission.get("proxy") is True
    return outcome_of(visit, "proxy_with_form", "permitted, marked proxy", ok)
