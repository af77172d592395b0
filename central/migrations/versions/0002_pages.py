"""Accounts, sign-ins and openings of the pages; gaps and days of coverage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "accounts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("must_change", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
    )
    op.create_table(
        "coverage_days",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("scene_role", sa.String(length=64), nullable=False),
        sa.Column("known_until", sa.BigInteger(), nullable=False),
        sa.Column("owed_ms", sa.BigInteger(), nullable=False),
        sa.Column("covered_ms", sa.BigInteger(), nullable=False),
        sa.Column("segments", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "camera", "day", name=op.f("pk_coverage_days")),
    )
    op.create_index(op.f("ix_coverage_days_day"), "coverage_days", ["day"], unique=False)
    op.create_table(
        "gaps",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("gap", sa.String(length=36), nullable=False),
        sa.Column("camera", sa.String(length=64), nullable=False),
        sa.Column("scene_role", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "gap", name=op.f("pk_gaps")),
    )
    op.create_index(
        op.f("ix_gaps_node_camera_started_at"),
        "gaps",
        ["node", "camera", "started_at"],
        unique=False,
    )
    op.create_table(
        "openings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("sign_in", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("session", sa.String(length=36), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("clear_at", sa.BigInteger(), nullable=True),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_openings")),
    )
    op.create_index(
        op.f("ix_openings_sign_in_node_session"),
        "openings",
        ["sign_in", "node", "session"],
        unique=False,
    )
    op.create_table(
        "sign_ins",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_sign_ins")),
    )
    op.create_index(op.f("ix_sign_ins_account"), "sign_ins", ["account"], unique=False)
    op.add_column("nodes", sa.Column("status_received_at", sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_flags_cleared_at_code"), "flags", ["cleared_at", "code"], unique=False)
    op.create_index(
        op.f("ix_sessions_pharmacy_opened_at"), "sessions", ["pharmacy", "opened_at"], unique=False
    )
    for column in ("actor", "action", "node"):
        op.create_index(op.f(f"ix_access_{column}_id"), "access", [column, "id"], unique=False)
    # ### end Alembic commands ###
