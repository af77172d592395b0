"""Who was checked and how, by coarse groups; of how many people nodes hold references."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sessions") as batch:
        for name in ("subject_role", "age_band", "sex", "accepted_by"):
            batch.add_column(sa.Column(name, sa.String(length=64), nullable=True))
        for name in ("face_tries", "face_compared"):
            batch.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "node_subjects",
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("controller", sa.String(length=64), nullable=False),
        sa.Column("subjects", sa.BigInteger(), nullable=False),
        sa.Column("refs", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.Column("agency", sa.String(length=64), nullable=False),
        sa.Column("pharmacy", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", name=op.f("pk_node_subjects")),
    )
    op.create_index(op.f("ix_node_subjects_controller"), "node_subjects", ["controller"])
