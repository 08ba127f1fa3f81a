"""Days that are over, gates that are tried, and an operator's own daily limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring the tables here."""
    op.add_column("gates", sa.Column("heard", sa.BigInteger(), nullable=True))
    op.add_column("gates", sa.Column("calendar", sa.String(length=80), nullable=True))
    op.add_column("gates", sa.Column("probe_at", sa.BigInteger(), nullable=True))
    op.add_column("gates", sa.Column("probes", sa.Integer(), server_default="0", nullable=False))
    op.add_column("leads", sa.Column("taken", sa.Text(), nullable=True))
    op.create_table(
        "resets",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("scope", sa.String(length=160), nullable=False),
        sa.Column("begins", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_since", sa.BigInteger(), nullable=True),
        sa.Column("turned_away", sa.Integer(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False),
        sa.Column("payout", sa.BigInteger(), nullable=False),
        sa.Column("logged_at", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("day", "scope", name=op.f("pk_resets")),
    )
    op.create_table(
        "taken",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("scope", sa.String(length=160), nullable=False),
        sa.Column("pings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sales", sa.Integer(), server_default="0", nullable=False),
        sa.Column("payouts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("turned_away", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("day", "scope", name=op.f("pk_taken")),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("taken")
    op.drop_table("resets")
    op.drop_column("leads", "taken")
    for name in ("probes", "probe_at", "calendar", "heard"):
        op.drop_column("gates", name)
