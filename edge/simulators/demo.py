"""`countersight demo`: the main job on one machine, with simulated cameras and people.

Without `--once` it keeps dispensing until stopped. With `--once` it runs the script and exits 0
only when every scenario ended as it must.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from edge.simulators.demo_config import NODE
from edge.simulators.demo_counter import Counter, Outcome
from edge.simulators.demo_identity import INSURED
from edge.simulators.demo_people import COUNTER as VISITOR_COUNTER
from edge.simulators.demo_people import Visitors, invitation, sign_ins
from edge.simulators.demo_script import EVERYDAY, guarded, run_script, with_coverage
from edge.simulators.demo_stack import DemoFailed, DemoStack
from edge.simulators.pharmacy import PATIENT
from hardware.errors import PeopleMissing
from hardware.simulated_people import load_people
from retention.records.errors import UsageError

COVERAGE_SECONDS = 60.0
DRAIN_SECONDS = 30.0
PAUSE_SECONDS = 3.0
VISITOR_SECONDS = 1.0


def main(argv: list[str]) -> int:
    """Run the demo. Raises UsageError when something it needs is missing."""
    parser = argparse.ArgumentParser(
        prog="countersight demo", description="演示：一个中心、一个药店节点、三路模拟摄像头"
    )
    parser.add_argument("--once", action="store_true", help="run the script once and exit")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--data", type=Path, help="data folder (default ./demo-data)")
    parser.add_argument("--port", type=int, default=0, help="port of central's HTTP API")
    asked = parser.parse_args(argv)
    if not 0 <= asked.port <= 65535:
        parser.error(f"--port: found {asked.port}, allowed 0 to 65535")
    os.environ["COUNTERSIGHT_SIMULATION"] = "1"
    try:
        load_people()
    except PeopleMissing as exc:
        raise UsageError(str(exc)) from exc
    signal.signal(signal.SIGTERM, _interrupt)
    with contextlib.ExitStack() as folders:
        data = asked.data or Path("demo-data")
        if asked.data is None and asked.once:
            data = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="countersight-")))
        stack = DemoStack(data, port=asked.port)
        try:
            return _once(stack, asked.json) if asked.once else _forever(stack)
        except DemoFailed as exc:
            _say(f"demo: {exc}")
            return 1
        finally:
            # A second Ctrl-C must not leave processes behind; the end is bounded by time.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            stack.close()


def _once(stack: DemoStack, as_json: bool) -> int:
    _say("starting central, the node and three cameras")
    stack.start()
    counter = Counter(stack)
    counter.enrol()
    outcomes = list(run_script(counter, _say_outcome))
    _say("waiting for footage to be sealed and for central to hold everything")
    outcomes = with_coverage(counter, outcomes, COVERAGE_SECONDS)
    report = _report(stack, outcomes)
    ok = all(outcome.ok for outcome in outcomes) and (
        report["records_sent"] == report["records_ingested"]
        and int(str(report["checkpoints_verified"])) > 0
    )
    if as_json:
        print(json.dumps(report, ensure_ascii=False))  # noqa: T201 - the answer
    else:
        for outcome in outcomes:
            _say_outcome(outcome)
        _say(", ".join(f"{key} {value}" for key, value in report.items() if key != "scenarios"))
    return 0 if ok else 1


def _forever(stack: DemoStack) -> int:
    _say("starting central, the node and three cameras")
    stack.start()
    counter = Counter(stack)
    counter.enrol()
    counter.sign_in()
    for line in invitation(stack, sign_ins(stack)):
        _say(line)
    _say("dispensing until Ctrl-C")
    store = stack.edge_config.open_store()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            _dispense(stack, counter, Visitors(store))
    finally:
        store.close()
    _say("stopping")
    return 0


def _dispense(stack: DemoStack, counter: Counter, visitors: Visitors) -> None:
    """Dispense for ever, except while somebody tries counter-2."""
    stop, turn, away = threading.Event(), 0, False
    while not stop.wait(VISITOR_SECONDS if away else PAUSE_SECONDS):
        busy = visitors.busy()
        if busy and not away:
            _say(f"{VISITOR_COUNTER} is in use: {PATIENT.name} stands at the camera")
            stack.cameras.control("counter").show(INSURED)
        elif away and not busy:
            _say(f"{VISITOR_COUNTER} is free: dispensing again")
        away = busy
        if not busy:
            _say_outcome(guarded(EVERYDAY[turn % len(EVERYDAY)], counter))
            turn += 1


def _report(stack: DemoStack, outcomes: list[Outcome]) -> dict[str, object]:
    """Return the JSON object, once central holds what the node has sent."""
    store = stack.edge_config.open_store()
    try:

        def sent() -> int:
            with store.read() as connection:
                return int(connection.execute("SELECT sent_count FROM frontier").fetchone()[0])

        # Both counts are read until they meet: the node goes on recording meanwhile.
        pair = (-1, -2)

        def level() -> bool:
            nonlocal pair
            before = sent()
            pair = (before, int(str(_node(stack)["records"])))
            return pair[0] == pair[1]

        with contextlib.suppress(DemoFailed):
            stack.wait_for("records at central", level, DRAIN_SECONDS)
        with store.read() as connection:
            segments, micros = connection.execute(
                "SELECT count(*), coalesce(sum(ended_at - started_at), 0) FROM segments"
            ).fetchone()
            (gaps,) = connection.execute("SELECT count(*) FROM gaps").fetchone()
    finally:
        store.close()
    return {
        "scenarios": [outcome.to_json() for outcome in outcomes],
        "segments": segments,
        "footage_seconds": round(micros / 1e6, 1),
        "gaps": gaps,
        "records_sent": pair[0],
        "records_ingested": pair[1],
        "checkpoints_verified": _node(stack)["checkpoints"],
    }


def _node(stack: DemoStack) -> dict[str, object]:
    listed = stack.central_get("/v1/nodes")["nodes"]
    return next(node for node in listed if node["node"] == NODE)


def _say_outcome(outcome: Outcome) -> None:
    mark = "ok  " if outcome.ok else "FAIL"
    parts = [outcome.decision or "-", ",".join(outcome.reasons) or "-", outcome.gate or "-"]
    _say(f"{mark} {outcome.name:<36} {' '.join(parts)} {outcome.detail}".rstrip())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - for the person who watches


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
