"""Challenges, holds and policies; what nodes tell of keeping."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("commands") as batch:
        batch.add_column(
            sa.Column("kind", sa.String(length=64), nullable=False, server_default="footage")
        )
        batch.add_column(sa.Column("subject", sa.String(length=200), nullable=True))
        batch.alter_column("session", existing_type=sa.String(length=36), nullable=True)
    op.create_index(op.f("ix_nodes_pharmacy"), "nodes", ["pharmacy"], unique=False)
    # Until now whatever was told of was owed.
    with op.batch_alter_table("coverage_days") as batch:
        batch.add_column(sa.Column("told_ms", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE coverage_days SET told_ms = owed_ms")
    op.create_index(op.f("ix_commands_subject"), "commands", ["subject"], unique=False)
    op.create_table(
        "audit_samples",
        sa.Column("audit", sa.String(length=36), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("leaf", sa.BigInteger(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.String(length=64), nullable=True),
        sa.Column("cause", sa.String(length=64), nullable=True),
        sa.Column("camera", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("audit", "ordinal", name=op.f("pk_audit_samples")),
    )
    op.create_table(
        "audits",
        sa.Column("audit", sa.String(length=36), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("command", sa.String(length=36), nullable=False),
        sa.Column("tree_size", sa.BigInteger(), nullable=False),
        sa.Column("owed", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("disposed", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("audit", name=op.f("pk_audits")),
        sa.UniqueConstraint("command", name=op.f("uq_audits_command")),
    )
    op.create_index(op.f("ix_audits_node_asked_at"), "audits", ["node", "asked_at"], unique=False)
    op.create_index(
        op.f("ix_audits_pharmacy_asked_at"), "audits", ["pharmacy", "asked_at"], unique=False
    )
    op.create_table(
        "holds",
        sa.Column("hold", sa.String(length=36), nullable=False),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("taken_from", sa.String(length=64), nullable=True),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("released_by", sa.String(length=200), nullable=True),
        sa.Column("release_reason", sa.String(length=200), nullable=True),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("hold", name=op.f("pk_holds")),
    )
    op.create_index(
        op.f("ix_holds_pharmacy_released_at"), "holds", ["pharmacy", "released_at"], unique=False
    )
    op.create_table(
        "node_alarms",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("alarm", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "alarm", "subject", name=op.f("pk_node_alarms")),
    )
    op.create_index(op.f("ix_node_alarms_cleared_at"), "node_alarms", ["cleared_at"], unique=False)
    op.create_table(
        "node_breaches",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("breach", sa.String(length=36), nullable=False),
        sa.Column("stage", sa.String(length=64), nullable=False),
        sa.Column("camera", sa.String(length=64), nullable=True),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "breach", name=op.f("pk_node_breaches")),
    )
    op.create_table(
        "node_closures",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("closure", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("declared_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "closure", name=op.f("pk_node_closures")),
    )
    op.create_table(
        "node_holds",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("hold", sa.String(length=36), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("released_sequence", sa.BigInteger(), nullable=True),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "hold", name=op.f("pk_node_holds")),
    )
    op.create_table(
        "node_openings",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("effective_from", sa.BigInteger(), nullable=False),
        sa.Column("hours", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "effective_from", name=op.f("pk_node_openings")),
    )
    op.create_table(
        "node_policies",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("adopted_at", sa.BigInteger(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "policy", "version", name=op.f("pk_node_policies")),
    )
    op.create_table(
        "policies",
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("effective_from", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("taken_from", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint(
            "agency", "pharmacy", "policy", "version", name=op.f("pk_policies")
        ),
    )
