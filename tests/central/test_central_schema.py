"""The migrations give exactly the tables that the code describes; nothing else is opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from central.cli import main
from central.config import load_config
from central.database import Database, _alembic, migrate, require_head
from central.errors import DatabaseOutdated
from central.keys import admin_token_sha256, load_keys
from central.tables import Base
from retention.configfile import ConfigRefused


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "central.toml"
    path.write_text(f'[storage]\ndata = "{tmp_path}/data"\n', encoding="utf-8")
    return path


def test_migrations_lead_to_the_tables_of_the_code(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/central.sqlite3")
    migrate(database)
    require_head(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.close()


def test_rows_of_the_release_before_are_kept_as_what_they_were(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/central.sqlite3")
    with database.write() as connection:
        command.upgrade(_alembic(connection), "0002")
        connection.exec_driver_sql(
            "INSERT INTO commands (command, node, session, actor, reason, body, issued_at,"
            " expires_at, agency, pharmacy) VALUES ('c', 'n', 's', 'a', 'r', x'00', 1, 2, 'g', 'p')"
        )
        connection.exec_driver_sql(
            "INSERT INTO coverage_days VALUES ('n', 'c', '2026-01-02', 'purchase', 9, 60, 50, 1, 5,"
            " 'g', 'p')"
        )
    migrate(database)
    with database.read() as connection:
        commands = connection.exec_driver_sql("SELECT kind, session, subject FROM commands")
        assert commands.all() == [("footage", "s", None)]
        days = connection.exec_driver_sql("SELECT told_ms, owed_ms, covered_ms FROM coverage_days")
        assert days.all() == [(60, 60, 50)]
    database.close()


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/central.sqlite3")
    assert migrate(database) == migrate(database)
    database.close()


def test_database_without_schema_is_refused(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/central.sqlite3")
    with pytest.raises(DatabaseOutdated, match="central migrate"):
        require_head(database)
    database.close()


def test_unknown_configuration_key_is_named(config_file: Path) -> None:
    config_file.write_text(config_file.read_text() + "[web]\nprot = 1\n")
    with pytest.raises(ConfigRefused, match=r"web\.prot: unknown key 'prot'; allowed here: .*port"):
        load_config(config_file)


def test_check_says_what_is_wrong_and_ends_with_one(
    config_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("central.cli.configure", lambda process: None)
    assert main(["check", "--config", str(config_file), "--json"]) == 1
    assert "keys: No such file" in capsys.readouterr().out
    load_keys(load_config(config_file))
    admin_token_sha256(load_config(config_file))
    (tmp_path / "data" / "central.sqlite3").touch()
    assert main(["check", "--config", str(config_file), "--json"]) == 1
    assert "central migrate" in capsys.readouterr().out
    assert main(["migrate", "--config", str(config_file)]) == 0
    capsys.readouterr()
    assert main(["check", "--config", str(config_file), "--json"]) == 0
    assert '"ok": true' in capsys.readouterr().out
