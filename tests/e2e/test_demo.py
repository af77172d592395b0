"""`countersight demo`, with and without `--once --json`, as its user would type it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from edge.simulators.demo_counter import looked
from edge.simulators.follow import following
from edge.simulators.pharmacy import OTHER, PATIENT, PharmacyClient
from hardware.simulated_people import PeopleMissing, load_people
from tests.e2e.agreement import check_folder, disagreements

EXPECTED = {
    "genuine_insured": ("ACCEPT", "permitted"),
    "another_person": ("REFER", "refused:RECEIPT_NOT_ACCEPT"),
    "nobody_in_view": ("RETRY", None),
    "two_people": ("RETRY", None),
    "held_photograph": ("REFER", "refused:RECEIPT_NOT_ACCEPT"),
    "replayed_pictures": ("REFER", "refused:RECEIPT_NOT_ACCEPT"),
    "proxy_with_form": ("ACCEPT", "permitted"),
    "guardian_of_child": ("ACCEPT", "permitted"),
    "pharmacist_absent": ("ACCEPT", "permitted"),
    "settled_twice": ("ACCEPT", "permitted"),
    "basket_changed_after_authorisation": ("ACCEPT", "refused:BASKET_CHANGED"),
    "receipt_expired": ("ACCEPT", "refused:RECEIPT_EXPIRED"),
    "central_stopped_and_started": ("ACCEPT", "permitted"),
    "recorder_killed": ("ACCEPT", "permitted"),
}


@pytest.mark.timeout(600)
def test_the_script_ends_as_expected_and_both_sides_agree(tmp_path: Path) -> None:
    try:
        load_people()
    except PeopleMissing as exc:
        pytest.skip(str(exc))
    ran = subprocess.run(
        [
            sys.executable, "-P", "-m", "countersight", "demo", "--once", "--json",
            "--data", str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=560,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (line,) = ran.stdout.splitlines()
    report = json.loads(line)
    found = {one["name"]: (one["decision"], one["gate"]) for one in report["scenarios"]}
    assert found == EXPECTED
    assert all(one["ok"] and one["coverage"] is not None for one in report["scenarios"]), report
    assert report["records_sent"] == report["records_ingested"] > 0
    assert report["checkpoints_verified"] > 0
    assert report["gaps"] >= 1
    assert report["footage_seconds"] > 60
    assert disagreements(tmp_path) == []
    assert check_folder(tmp_path)["exit_code"] == 0
    check = subprocess.run(
        [
            sys.executable, "-P", "-m", "countersight", "central", "check",
            "--config", str(tmp_path / "central.toml"), "--json",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert check.returncode == 0, check.stdout


# -- for people -----------------------------------------------------------------------------------


class Printed:
    """What the demo prints, line by line, while it runs."""

    def __init__(self, data: Path) -> None:
        # Started in the background we ignore Ctrl-C, and the demo would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                following(
                    [sys.executable, "-P", "-m", "countersight", "demo", "--data", str(data)]
                ),
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def until(self, words: str, seconds: float = 150.0) -> None:
        deadline, pause = time.monotonic() + seconds, threading.Event()
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self.process.poll() is None, self.text
            pause.wait(0.1)

    def end(self) -> int:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            raise
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


@contextmanager
def demo(data: Path) -> Iterator[Printed]:
    printed = Printed(data)
    try:
        yield printed
    finally:
        if printed.process.poll() is None:
            printed.end()


def part(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]


@pytest.mark.timeout(600)
def test_the_demo_says_all_that_a_person_needs_and_makes_room_at_the_camera(
    tmp_path: Path,
) -> None:
    try:
        load_people()
    except PeopleMissing as exc:
        pytest.skip(str(exc))
    with demo(tmp_path) as printed:
        printed.until("dispensing until Ctrl-C")
        central = part(r"central +(http://\S+)/", printed.text)
        for role in ("inspector", "admin"):
            _can_sign_in(central, role, part(rf"{role} +{role} / (\S+)", printed.text))
        counter = PharmacyClient(part(r"counter +(http://\S+)/\?code=", printed.text))
        with counter:
            counter.pair(part(r"\?code=(\d{8})", printed.text))
            session = counter.open(PATIENT)["session"]
            printed.until("counter-2 is in use")
            assert looked(counter, session)["outcome"] == "ACCEPT"
            secret = part(r"HY430100000001 / (\S+)", printed.text)
            assert counter.attest(session, "HY430100000001", secret)["outcome"] == "ACCEPT"
            other = counter.open(OTHER)["session"]  # before the first is closed: never free
            counter.close(session, "abandoned")
            mistaken = looked(counter, other)
            assert mistaken["outcome"] == "REFER"
            assert "MISMATCH" in [reason["code"] for reason in mistaken["reasons"]]
            counter.close(other, "abandoned")
        printed.until("counter-2 is free")
        assert printed.end() == 0
    assert "Traceback" not in printed.text
    assert not list(tmp_path.glob("core*"))


def _can_sign_in(central: str, name: str, password: str) -> None:
    with httpx.Client(
        base_url=central, trust_env=False, headers={"Origin": central}, timeout=30
    ) as browser:
        answer = browser.post("/sign-in", data={"name": name, "password": password})
        assert answer.status_code == 303, answer.text
        assert browser.cookies
