"""`countersight demo --once --json`, as its user would type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hardware.simulated_people import PeopleMissing, load_people
from tests.e2e.agreement import check_folder, disagreements

EXPECTED = {
    "genuine_insured": ("ACCEPT", "permitted"),
    "another_person": ("REFER", "refused:RECEIPT_NOT_ACCEPT"),
    "nobody_in_view": ("RETRY", None),
    "two_people": ("RETRY", None),
    "held_photograph": ("REFER", "refused:RECEIPT_NOT_ACCEPT"),
    "proxy_with_form": ("ACCEPT", "permitted"),
    "settled_twice": ("ACCEPT", "permitted"),
    "basket_changed_after_authorisation": ("ACCEPT", "refused:BASKET_CHANGED"),
    "receipt_expired": ("ACCEPT", "refused:RECEIPT_EXPIRED"),
    "central_stopped_and_started": ("ACCEPT", "permitted"),
    "recorder_killed": ("ACCEPT", "permitted"),
}


@pytest.mark.timeout(300)
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
        timeout=280,
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
