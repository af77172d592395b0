"""The part of the demo's script that is about who stands at the counter, and for whom."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from edge.simulators.demo_counter import Counter, Outcome, outcome_of, refused
from edge.simulators.pharmacy import CHILD, DAUGHTER, OTHER, line
from hardware.simulated_actors import Genuine, HeldPhoto

INSURED = Genuine("person-a", 2)
ANOTHER = Genuine("person-b", 1)
LOOP_SECONDS = 1.5
MOST_LOOKS = 8  # asked for at pictures that are fed in, over all sessions


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
    counter.verify(visit, awaited="NO_FACE")
    counter.close(visit, "abandoned")
    ok = (visit.decision, visit.reasons) == ("RETRY", ("NO_FACE",))
    return outcome_of(visit, "nobody_in_view", "RETRY NO_FACE", ok)


def two_people(counter: Counter) -> Outcome:
    visit = counter.arrive(replace(INSURED, x=0.3), replace(ANOTHER, x=0.7))
    counter.verify(visit, awaited="MULTIPLE_FACES")
    counter.close(visit, "abandoned")
    ok = (visit.decision, visit.reasons) == ("RETRY", ("MULTIPLE_FACES",))
    return outcome_of(visit, "two_people", "RETRY MULTIPLE_FACES", ok)


def held_photograph(counter: Counter) -> Outcome:
    """Refused, and nobody is told why."""
    visit = counter.arrive(HeldPhoto("person-b", 1), person=OTHER)
    counter.verify(visit, awaited="CHALLENGE_FAILED")
    counter.authorise(visit)
    counter.close(visit, "refused")
    ok = visit.decision != "ACCEPT" and refused(visit)
    return outcome_of(visit, "held_photograph", "not accepted, refused", ok)


def replayed_pictures(counter: Counter) -> Outcome:
    """Pictures of the insured person that are fed in again and again: suspected often enough,
    they lock the credential until a pharmacist attests the document."""
    visit = counter.arrive(ANOTHER, person=OTHER)
    camera = counter.stack.cameras.control("counter")
    camera.loop()
    time.sleep(LOOP_SECONDS)  # until then the person really is there
    accepted = False
    try:
        for _ in range(MOST_LOOKS):
            accepted = counter.look(visit)["outcome"] == "ACCEPT" or accepted
            if "FACE_LOCKED" in visit.reasons:
                break
            if "ATTEMPTS_EXHAUSTED" in visit.reasons:  # of this session
                counter.close(visit, "refused")
                visit = counter.open(OTHER)
    finally:
        camera.resume()
    locked, reasons = "FACE_LOCKED" in visit.reasons, visit.reasons
    counter.authorise(visit)
    stopped, gate = refused(visit), visit.gate
    counter.attest(visit)
    no_face = counter.client.session(visit.session)["no_face"]
    unlocked = no_face is None or no_face["code"] != "FACE_LOCKED"
    counter.close(visit, "abandoned")
    visit.decision, visit.reasons, visit.gate = "REFER", reasons, gate
    ok = locked and unlocked and stopped and not accepted
    expected = "not accepted, locked, unlocked by attestation"
    return outcome_of(visit, "replayed_pictures", expected, ok)


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
