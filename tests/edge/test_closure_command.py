from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge import cli
from edge.config import load_config
from retention.store import opening
from retention.store.log import all_records
from tests.edge.test_cli import TOML

AHEAD = datetime.now(ZoneInfo("Asia/Shanghai")) + timedelta(days=2)
BEGINS, ENDS = (f"{AHEAD + timedelta(hours=more):%Y-%m-%dT%H:%M}" for more in (0, 5))
WHO = ("--author", "manager", "--reason", "stocktaking")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(TOML.format(data=tmp_path / "data"))
    return path


def run(file: Path, deed: str, *arguments: str) -> int:
    return cli.main(["closure", deed, "--config", str(file), *arguments])


def declare(file: Path, begins: str = BEGINS, ends: str = ENDS, *more: str) -> int:
    return run(file, "declare", "--from", begins, "--to", ends, *WHO, *more)


def kinds(file: Path) -> list[str]:
    store = load_config(file).open_store()
    try:
        with store.read() as connection:
            return [record.kind for record in all_records(connection)]
    finally:
        store.close()


def test_closure_is_declared_listed_and_cancelled(file, capsys):
    assert declare(file, BEGINS, ENDS, "--kind", "power_off", "--json") == 0
    declared = json.loads(capsys.readouterr().out)
    assert declared["kind"] == "power_off"
    began = datetime.fromisoformat(declared["started_at"])
    assert began.astimezone(UTC) == AHEAD.replace(second=0, microsecond=0).astimezone(UTC)
    assert run(file, "list", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["closures"]
    assert listed["closure"] == declared["closure"]
    assert listed["started_at"] == BEGINS.replace("T", " ") + ":00"  # local, as it was said
    assert run(file, "cancel", "--closure", declared["closure"], *WHO) == 0
    assert run(file, "cancel", "--closure", declared["closure"], *WHO) == 2
    assert "cancelled before" in capsys.readouterr().err
    assert kinds(file) == ["closure.declared", "closure.cancelled"]


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        ("2026-01-05T21:00", ENDS, "cannot be excused"),
        (ENDS, BEGINS, "ends after it begins"),
        (BEGINS, f"{AHEAD + timedelta(days=40):%Y-%m-%dT%H:%M}", "31 days"),
        ("tomorrow", ENDS, "--from 'tomorrow': not a time such as"),
        (BEGINS, f"{ENDS}+08:00", "local time without an offset"),
        ("0001-01-01T00:00", ENDS, "--from"),
    ],
)
def test_closure_that_cannot_be_is_refused_in_one_line(file, capsys, begins, ends, said):
    assert declare(file, begins, ends) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("countersight edge closure: ")
    assert said in line
    assert kinds(file) == []


@pytest.mark.parametrize("words", ["", " \t", "x" * 201])
@pytest.mark.parametrize("option", ["--author", "--reason"])
def test_nobody_and_nothing_declare_no_closure(file, capsys, option, words):
    assert declare(file, BEGINS, ENDS, option, words) == 2
    assert option in capsys.readouterr().err
    assert kinds(file) == []


def test_unknown_closure_is_refused(file, capsys):
    assert run(file, "cancel", "--closure", "0" * 8, *WHO) == 2
    assert "--closure" in capsys.readouterr().err
    unknown = "00000000-0000-4000-8000-000000000000"
    assert run(file, "cancel", "--closure", unknown, *WHO) == 2
    assert "no closure has this id" in capsys.readouterr().err


def test_list_of_nothing_says_so(file, capsys):
    assert run(file, "list") == 0
    assert "没有歇业时段" in capsys.readouterr().out


def test_declared_closure_is_what_the_index_knows(file):
    assert declare(file) == 0
    store = load_config(file).open_store()
    try:
        with store.read() as connection:
            (found,) = opening.closures_between(connection, 0, 2**53)
    finally:
        store.close()
    assert found.ended_at - found.started_at == 5 * 3_600_000_000
