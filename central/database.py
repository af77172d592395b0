"""Opening central's database.

SQLite runs in WAL with synchronous FULL; every write is one `BEGIN IMMEDIATE` transaction, so two
processes wait for each other instead of failing half-way. Nothing here creates tables: that is
`migrate`, and a schema that is not at head is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    TimeoutError,
)
from sqlalchemy.pool import StaticPool

from central.config import CentralConfig
from central.errors import DatabaseOutdated, DatabaseRefused, DatabaseUnavailable
from retention.records.errors import UsageError

BUSY_SECONDS = 30
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """An engine with two ways in: `read` (one snapshot) and `write` (one durable transaction)."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run one transaction; commits at the end, rolls back on any exception."""
        with self._connection(writes=True) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run reads on one snapshot."""
        with self._connection(writes=False) as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _connection(self, *, writes: bool) -> Iterator[Connection]:
        try:
            with self.engine.connect() as connection:
                connection.execution_options(countersight_writes=writes)
                with connection.begin() as transaction:
                    yield connection
                    if not writes:
                        transaction.rollback()
        except (OperationalError, InterfaceError) as exc:
            raise DatabaseUnavailable(str(exc.orig)) from exc
        except TimeoutError as exc:  # every connection of the pool is taken
            raise DatabaseUnavailable("too many requests at once") from exc
        except DatabaseError as exc:
            if type(exc) is not DatabaseError:  # a fault of the statement, not of the database
                raise
            raise DatabaseUnavailable(str(exc.orig)) from exc


def shown(url: str) -> str:
    """Return a database URL as it may be shown: without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return url.partition("://")[0] + "://…"


def require_file(url: str) -> None:
    """See that an SQLite file is there; opening would make one. Raises DatabaseUnavailable."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite" and not Path(found.database or "").is_file():
        raise DatabaseUnavailable(f"{found.database}: no such database")


def migrate(database: Database) -> str:
    """Bring the schema to head and return its revision."""
    with database.write() as connection:
        command.upgrade(_alembic(connection), "head")
    return head()


@contextmanager
def configured(config: CentralConfig) -> Iterator[Database]:
    """Open the configured database for a command. Raises UsageError when it cannot be used."""
    database = Database(config.database_url)
    try:
        yield database
    except DatabaseUnavailable as exc:
        raise UsageError(f"storage.database {shown(config.database_url)}: {exc}") from exc
    finally:
        database.close()


def head() -> str:
    """Return the revision this software was built for."""
    revision = ScriptDirectory.from_config(_alembic(None)).get_current_head()
    if revision is None:
        raise DatabaseOutdated("no migrations are installed with this software")
    return revision


def require_head(database: Database) -> None:
    """Refuse a schema that is not at head. Raises DatabaseOutdated."""
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != head():
        raise DatabaseOutdated(
            f"database schema is {found or 'empty'}, this software needs {head()}: "
            "run `countersight central migrate`"
        )


def _alembic(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _engine(url: str) -> Engine:
    try:
        return _make_engine(url)
    except (NoSuchModuleError, ImportError) as exc:
        raise DatabaseRefused(f"storage.database {shown(url)}: {exc}") from exc
    except (ArgumentError, ValueError) as exc:
        raise DatabaseRefused(f"storage.database {shown(url)}: not a database address") from exc


def _make_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True)
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS}}
    if url == "sqlite://":
        options["poolclass"] = StaticPool
        options["connect_args"]["check_same_thread"] = False
    engine = create_engine(url, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("countersight_writes", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
