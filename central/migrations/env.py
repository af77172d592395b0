"""Alembic's entry: always online, on the connection (and transaction) it is given."""

from __future__ import annotations

from alembic import context

from central.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
)
context.run_migrations()
