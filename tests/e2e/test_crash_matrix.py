"""The crash matrix: SIGKILL to every process at seeded random moments, under business.

One central and one node stay up for all rounds. In each round a purchase is under way while one
process is killed; then the node must come back by itself, and: every record of a sent kind is at
central exactly once with the same leaf, central's tree is that of the node, every file is explained
and every digest right, and the platform holds one settlement per basket.

`make test` runs one round per victim with a fixed seed, `make soak` a hundred with seeds 0 to 99.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx
import pytest

from edge.simulators.demo_config import PHARMACIST
from edge.simulators.demo_stack import DemoStack
from edge.simulators.pharmacy import PharmacyClient, ProblemResponse
from tests.e2e.agreement import check_folder, counts, disagreements

T = TypeVar("T")
VICTIMS = ("recorder-counter", "verifier", "terminal", "uplink", "supervisor", "collector")
SOAK_ROUNDS = 100
BACK_SECONDS = 30.0
LEVEL_SECONDS = 40.0


def victims_of_the_short_version() -> list[tuple[int, str]]:
    return list(enumerate(VICTIMS))


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("seed", "victim"), victims_of_the_short_version())
def test_nothing_is_lost_when_a_process_is_killed(
    stack: DemoStack, client: PharmacyClient, seed: int, victim: str
) -> None:
    survive(stack, client, seed, victim)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(SOAK_ROUNDS))
def test_nothing_is_lost_in_a_hundred_crashes(
    stack: DemoStack, client: PharmacyClient, seed: int
) -> None:
    survive(stack, client, seed, VICTIMS[seed % len(VICTIMS)])


def survive(stack: DemoStack, client: PharmacyClient, seed: int, victim: str) -> None:
    """One round. The seed decides the moment of the kill and the kind of business."""
    chance = random.Random(seed)
    moment = chance.uniform(0.0, 3.0)
    by_face = chance.random() < 0.5
    print(json.dumps({"seed": seed, "victim": victim, "after": round(moment, 2), "face": by_face}))
    killer = threading.Timer(moment, kill, args=(stack, victim))
    killer.start()
    sessions = [purchase(stack, client, by_face=by_face)]
    while killer.is_alive():
        sessions.append(purchase(stack, client, by_face=by_face))
    killer.join()
    if victim == "supervisor":
        stack.start_edge()
    stack.wait_for("terminal", client.ready, BACK_SECONDS)
    for session in sessions:
        finish(client, stack, session)
    stack.wait_for("records at central", lambda: counts(stack.data).level, LEVEL_SECONDS)
    assert disagreements(stack.data) == []
    found = check_folder(stack.data)
    assert found["exit_code"] == 0, found
    held = httpx.get(f"{stack.platform_url}/held", timeout=30).json()["settlements"]
    live = [one["key"] for one in held if one["state"] == "settled"]
    assert len(live) == len(set(live)), held
    stages = {client.session(session)["settlement"]["stage"] for session in sessions}
    assert stages == {"settled"}


def kill(stack: DemoStack, victim: str) -> None:
    if victim == "supervisor":
        stack.kill("edge")
    elif victim == "collector":
        stack.kill_child("central", victim)
    else:
        stack.kill_child("edge", victim)


def purchase(stack: DemoStack, client: PharmacyClient, *, by_face: bool) -> str:
    """Run one purchase as far as the crash allows; return its session."""
    session = str(patiently(lambda: client.open()["session"]))
    try:
        client.basket(session)
        if by_face:
            client.verify(session)
        client.attest(session, PHARMACIST, stack.pharmacist_secret)
        client.authorise(session)
        client.settle(session)
        client.close(session, "settled")
    except (ProblemResponse, httpx.HTTPError):
        time.sleep(0.1)  # cut short; `finish` goes on from where it stands
    return session


def finish(client: PharmacyClient, stack: DemoStack, session: str) -> None:
    """What a counter would do: look where the session stands and go on from there."""

    def done() -> bool:
        step = client.session(session)["next_step"]
        if step == "closed":
            return True
        if step in ("enrol_or_attest", "verify", "attest"):
            client.attest(session, PHARMACIST, stack.pharmacist_secret)
        elif step == "basket":
            client.basket(session)
        elif step == "authorise":
            client.authorise(session)
        elif step == "settle":
            client.settle(session)
        elif step == "close":
            client.close(session, "settled")
        return False

    deadline = time.monotonic() + BACK_SECONDS
    while not patiently(done):
        assert time.monotonic() < deadline, client.session(session)
        time.sleep(0.1)


def patiently(ask: Callable[[], T]) -> T:
    """Ask until the terminal answers; refusals that say "wait" are waited for."""
    deadline = time.monotonic() + BACK_SECONDS
    while True:
        try:
            return ask()
        except (ProblemResponse, httpx.HTTPError) as exc:
            waits = isinstance(exc, httpx.HTTPError) or exc.status in (409, 429, 500, 503)
            if not waits or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_a_disagreement_would_be_seen(stack: DemoStack, tmp_path: Path) -> None:
    """Break a copy on purpose: the check that judges every round is able to fail."""
    stack.wait_for("records at central", lambda: counts(stack.data).central_sent > 2, LEVEL_SECONDS)
    for name in ("edge", "central"):
        (tmp_path / name).mkdir()
        database = "node.sqlite3" if name == "edge" else "central.sqlite3"
        source = sqlite3.connect(stack.data / name / database)
        copy = sqlite3.connect(tmp_path / name / database)
        source.backup(copy)
        if name == "central":
            copy.execute("DELETE FROM records WHERE sent_sequence = 0")
            copy.execute("UPDATE records SET leaf = zeroblob(32) WHERE sent_sequence = 1")
            copy.commit()
        source.close()
        copy.close()
    shutil.copytree(stack.data / "edge" / "keys", tmp_path / "edge" / "keys")
    found = disagreements(tmp_path)
    assert "sent_sequence 0 never arrived" in found
    assert "sent_sequence 1 differs" in found
