"""The scripted run of the demo: what happens at the counter, and what must come of it.

Each scenario drives the terminal API as a pharmacy's system would, with people before the
simulated camera, and states beforehand how it must end. Nothing is judged by the script's own
opinion of the node: decision and gate are read from the API's answers, the rest from central.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx

from edge.simulators.demo_counter import (
    Counter,
    Outcome,
    Scenario,
    Visit,
    closed_gap,
    outcome_of,
    refused,
    wait_until,
)
from edge.simulators.demo_identity import (
    INSURED,
    another_person,
    genuine,
    guardian_of_child,
    held_photograph,
    nobody,
    pharmacist_absent,
    proxy,
    replayed_pictures,
    two_people,
)
from edge.simulators.demo_stack import DemoFailed, DemoStack
from edge.simulators.pharmacy import ProblemResponse, line

GOP_SECONDS = 1.0  # what the simulated cameras send
PICTURE_DELAY_SECONDS = 0.5  # from the camera's shutter to the recorder, on a busy machine


def settled_twice(counter: Counter) -> Outcome:
    """Two clicks at the same moment, then a third: one settlement, the same answer."""
    visit = counter.arrive(INSURED)
    counter.attest(visit)
    counter.authorise(visit)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: _settled_or_wait(counter, visit), range(2))
    third = counter.settle(visit)
    counter.close(visit, "settled")
    held = httpx.get(f"{counter.stack.platform_url}/held", timeout=5).json()["settlements"]
    mine = [one for one in held if one["setl_id"] == third["setl_id"]]
    same = first["setl_id"] == second["setl_id"] == third["setl_id"]
    ok = same and len(mine) == 1 and len({one["key"] for one in held}) == len(held)
    return outcome_of(visit, "settled_twice", "one settlement, same answer", ok)


def basket_changed(counter: Counter) -> Outcome:
    visit = counter.arrive(INSURED)
    counter.attest(visit)
    counter.authorise(visit)
    permitted = visit.gate == "permitted"
    counter.client.basket(visit.session, [line(1), line(2, name="维生素C片")])
    reasons = _settlement_refusal(counter, visit)
    counter.close(visit, "abandoned")
    ok = permitted and "BASKET_CHANGED" in reasons
    return outcome_of(visit, "basket_changed_after_authorisation", "void, refused", ok)


def receipt_expired(counter: Counter) -> Outcome:
    visit = counter.open()
    counter.attest(visit)
    time.sleep(counter.stack.times.receipt + 1)
    counter.authorise(visit)
    counter.close(visit, "abandoned")
    ok = refused(visit) and "RECEIPT_EXPIRED" in (visit.gate or "")
    return outcome_of(visit, "receipt_expired", "refused RECEIPT_EXPIRED", ok)


def central_stopped(counter: Counter) -> Outcome:
    """The counter does not notice; afterwards everything is at central once."""
    visit = counter.arrive(INSURED)
    counter.stack.stop("central")
    counter.attest(visit)
    counter.complete(visit)
    counter.stack.start_central()
    steps = {step["sequence"] for step in counter.client.session(visit.session)["steps"]}
    arrived = wait_until(lambda: steps <= set(_steps_at_central(counter, visit)), 30)
    at_central = _steps_at_central(counter, visit)
    once = len(set(at_central)) == len(at_central)
    ok = arrived and once and visit.settlement == "settled"
    return outcome_of(visit, "central_stopped_and_started", "nothing lost, nothing twice", ok)


def recorder_killed(counter: Counter) -> Outcome:
    """A gap that is a row, a new recorder, and at most one group of pictures lost."""
    name = "recorder-counter"
    visit = counter.arrive(INSURED)
    killed_at, killed = time.time(), counter.stack.kill_child("edge", name)
    restarted = wait_until(lambda: counter.stack.child_pid("edge", name) != killed, 15)
    gap = closed_gap(counter.stack, "counter", killed_at, 20)
    counter.attest(visit)
    counter.complete(visit)
    expected = "restarted, the gap is a row, at most one GOP lost"
    if gap is None:
        return replace(
            outcome_of(visit, "recorder_killed", expected, ok=False), detail="no gap row"
        )
    lost, away = killed_at - gap[0] / 1e6, (gap[1] - gap[0]) / 1e6
    ok = restarted and lost <= GOP_SECONDS + PICTURE_DELAY_SECONDS
    detail = f"lost {max(0.0, lost):.1f} s before the kill, no footage for {away:.1f} s"
    return replace(outcome_of(visit, "recorder_killed", expected, ok), detail=detail)


SCENARIOS: tuple[Scenario, ...] = (
    genuine,
    another_person,
    nobody,
    two_people,
    held_photograph,
    replayed_pictures,
    proxy,
    guardian_of_child,
    pharmacist_absent,
    settled_twice,
    basket_changed,
    receipt_expired,
    central_stopped,
    recorder_killed,
)
EVERYDAY: tuple[Scenario, ...] = (genuine, another_person, genuine, proxy, held_photograph, nobody)


def run_script(counter: Counter, said: Callable[[Outcome], None]) -> Iterator[Outcome]:
    """Run every scenario once. The expiry is waited for beside the others, not after them."""
    late: list[Outcome] = []
    waiting = threading.Thread(target=lambda: late.append(guarded(receipt_expired, counter)))
    waiting.start()
    for scenario in SCENARIOS:
        if scenario is receipt_expired:
            continue
        outcome = guarded(scenario, counter)
        said(outcome)
        yield outcome
    waiting.join()
    for outcome in late:
        said(outcome)
        yield outcome


def with_coverage(counter: Counter, outcomes: list[Outcome], seconds: float) -> list[Outcome]:
    """Wait until central knows the coverage of every session, and check what must be flagged."""

    def known() -> bool:
        return all(_coverage(counter.stack, outcome.session) is not None for outcome in outcomes)

    wait_until(known, seconds)
    return [_completed(counter.stack, outcome) for outcome in outcomes]


def _completed(stack: DemoStack, outcome: Outcome) -> Outcome:
    share = _coverage(stack, outcome.session)
    found = replace(outcome, coverage=share, ok=outcome.ok and share is not None)
    if outcome.session is not None and "flagged" in outcome.expected:
        summary = stack.central_get(f"/v1/sessions/{outcome.session}")["summary"]
        found = replace(found, ok=found.ok and bool(summary["flags"]))
    return found


def _coverage(stack: DemoStack, session: str | None) -> float | None:
    if session is None:
        return None
    try:
        summary = stack.central_get(f"/v1/sessions/{session}")["summary"]
    except DemoFailed:
        return None
    owed, covered = summary["owed_ms"], summary["covered_ms"]
    return round(covered / owed, 3) if owed else None


def guarded(scenario: Scenario, counter: Counter) -> Outcome:
    """A scenario that breaks is a scenario that failed, with its reason; the others go on."""
    try:
        return scenario(counter)
    except (ProblemResponse, DemoFailed, httpx.HTTPError, KeyError) as exc:
        name = scenario.__name__
        return Outcome(name, "an answer", ok=False, detail=f"{type(exc).__name__}: {exc}"[:500])


def _settlement_refusal(counter: Counter, visit: Visit) -> tuple[str, ...]:
    try:
        counter.settle(visit)
    except ProblemResponse as exc:
        visit.gate = "refused:" + ",".join(exc.reasons)
        return exc.reasons
    return ()


def _settled_or_wait(counter: Counter, visit: Visit) -> Any:
    """Submit; when the other click is still under way, ask again for its answer."""
    deadline = time.monotonic() + 15
    while True:
        try:
            answer = counter.client.settle(visit.session)
        except ProblemResponse as exc:
            if time.monotonic() > deadline or exc.status not in (409, 429, 503):
                raise
        else:
            if answer["setl_id"] is not None or time.monotonic() > deadline:
                return answer
        time.sleep(0.1)


def _steps_at_central(counter: Counter, visit: Visit) -> list[int]:
    """Return the sequences of the session's records that central has folded."""
    try:
        view = counter.stack.central_get(f"/v1/sessions/{visit.session}")
    except DemoFailed:
        return []
    return [step["sequence"] for step in view["steps"]]
