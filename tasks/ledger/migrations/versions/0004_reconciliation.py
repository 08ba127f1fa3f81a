"""What upstream told of sold calls, what the buyer's statements say of unknown leads, and leads found by customid."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

OWN = sa.text("customid <> lead_id")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Bring the tables here."""
    op.create_table(
        "call_reports",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("lead_id", sa.String(length=40), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.Column("forwarded_at", sa.BigInteger(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("standing", sa.String(length=8), nullable=False),
        sa.Column("why", sa.String(length=24), nullable=True),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call_reports")),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_call_reports")),
    )
    op.create_table(
        "settlements",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("lead_id", sa.String(length=40), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("sold", sa.Boolean(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("token", sa.String(length=255), nullable=True),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlements")),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_settlements")),
    )
    for name in ("call_reports", "settlements"):
        op.create_index(op.f(f"ix_{name}_lead_id"), name, ["lead_id"])
        op.create_index(
            f"uq_{name}_counting",
            name,
            ["lead_id"],
            unique=True,
            sqlite_where=sa.text("counts = 1"),
            postgresql_where=sa.text("counts"),
        )
    op.create_index(
        "ix_leads_own_customid", "leads", ["customid"], sqlite_where=OWN, postgresql_where=OWN, if_not_exists=True
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_leads_own_customid", "leads")
    op.drop_table("settlements")
    op.drop_table("call_reports")
