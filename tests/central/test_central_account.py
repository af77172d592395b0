"""`central account`: the accounts that are made where the server is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from central import accounts, passwords
from central.cli import main
from central.database import Database
from central.tables import Access, table_of
from retention.records.errors import UsageError

ACCESS = table_of(Access)
PASSWORD = "sieben Zwerge, ein Berg"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose database is there."""
    file = tmp_path / "central.toml"
    file.write_text(f'[storage]\ndata = "{tmp_path / "data"}"\n')
    assert main(["migrate", "--config", str(file)]) == 0
    return file


def run(config: Path, *words: str) -> int:
    return main(["account", "--config", str(config), "--json", *words])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def stored(config: Path, name: str) -> accounts.AnyRow:
    database = Database(f"sqlite:///{config.parent / 'data' / 'central.sqlite3'}")
    with database.read() as connection:
        row = accounts.account(connection, name)
    database.close()
    return row


def test_password_that_is_made_has_to_be_changed(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(config, "--name", "Li", "--role", "inspector") == 0
    found = told(capsys)
    assert (found["account"], found["role"], found["done"]) == ("li", "inspector", "added")
    row = stored(config, "li")
    assert row.must_change == 1
    assert row.created_by == "command line"
    assert passwords.matches(row.password_hash, str(found["password"]))


def test_password_from_standard_input_is_its_owners(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert run(config, "--name", "chen", "--role", "admin", "--password-stdin") == 0
    assert told(capsys)["password"] is None
    row = stored(config, "chen")
    assert row.must_change == 0
    assert passwords.matches(row.password_hash, PASSWORD)


def test_reset_and_disable(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(config, "--name", "chen", "--role", "admin")
    run(config, "--name", "li", "--role", "inspector")
    assert run(config, "--name", "li", "--reset") == 0
    assert passwords.matches(stored(config, "li").password_hash, str(told(capsys)["password"]))
    assert run(config, "--name", "li", "--disable") == 0
    assert stored(config, "li").disabled_at is not None
    with pytest.raises(UsageError, match="last admin"):
        run(config, "--name", "chen", "--disable")


def test_every_change_leaves_a_row_without_the_password(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config, "--name", "li", "--role", "inspector")
    password = str(told(capsys)["password"])
    run(config, "--name", "li", "--disable")
    database = Database(f"sqlite:///{config.parent / 'data' / 'central.sqlite3'}")
    with database.read() as connection:
        rows = connection.execute(ACCESS.select().order_by(ACCESS.c.id)).all()
    database.close()
    assert [(row.actor, row.action) for row in rows] == [
        ("command line", "account.add"),
        ("command line", "account.disable"),
    ]
    assert password not in str(rows)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--name", "li"], "--role"),
        (["--name", "li wei", "--role", "admin"], "The name is not allowed"),
        (["--name", "taken", "--role", "admin"], "The name is taken"),
        (["--name", "nobody", "--reset"], "No such account"),
        (["--name", "taken", "--disable", "--role", "admin"], "--role"),
        (["--name", "taken", "--disable", "--password-stdin"], "--password-stdin"),
        (["--name", "li", "--role", "admin", "--password-stdin"], "standard input is empty"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    config: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    run(config, "--name", "taken", "--role", "inspector")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UsageError, match=says):
        run(config, *words)


def test_without_a_database_nothing_is_made(tmp_path: Path) -> None:
    file = tmp_path / "central.toml"
    file.write_text(f'[storage]\ndata = "{tmp_path / "data"}"\n')
    with pytest.raises(UsageError, match="no such database"):
        run(file, "--name", "li", "--role", "admin")
    assert not (tmp_path / "data").exists()
