"""Leads, attempts, replies, refusals and gates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Bring the tables here."""
    op.create_table(
        "gates",
        sa.Column("scope", sa.String(length=160), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("turned_away", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_gates")),
    )
    op.create_table(
        "leads",
        sa.Column("lead_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("flow", sa.String(length=12), nullable=False),
        sa.Column("call", sa.String(length=12), nullable=False),
        sa.Column("test", sa.Boolean(), nullable=False),
        sa.Column("numcategory", sa.Integer(), nullable=False),
        sa.Column("subid", sa.String(length=100), nullable=False),
        sa.Column("customid", sa.String(length=50), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("offered_price", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("pings", sa.Integer(), server_default="0", nullable=False),
        sa.Column("posts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("token", sa.String(length=255), nullable=True),
        sa.Column("price_quoted", sa.BigInteger(), nullable=True),
        sa.Column("duration_s", sa.Integer(), nullable=True),
        sa.Column("posted_at", sa.BigInteger(), nullable=True),
        sa.Column("phone_number", sa.String(length=64), nullable=True),
        sa.Column("price_confirmed", sa.BigInteger(), nullable=True),
        sa.Column("forward_by", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=12), nullable=True),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("logged_at", sa.BigInteger(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("last_code", sa.Integer(), nullable=True),
        sa.Column("last_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("lead_id", name=op.f("pk_leads")),
    )
    with op.batch_alter_table("leads", schema=None) as batch_op:
        batch_op.create_index("ix_leads_ended_at", ["ended_at"], unique=False)
        batch_op.create_index(
            "ix_leads_open",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("status IS NULL"),
            postgresql_where=sa.text("status IS NULL"),
        )
        batch_op.create_index("ix_leads_token", ["token"], unique=False)
        batch_op.create_index(
            "ix_leads_untold",
            ["ended_at"],
            unique=False,
            sqlite_where=sa.text("status IS NOT NULL AND told_at IS NULL"),
            postgresql_where=sa.text("status IS NOT NULL AND told_at IS NULL"),
        )

    op.create_table(
        "refusals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("lead_id", sa.String(length=255), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusals")),
    )
    with op.batch_alter_table("refusals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_refusals_lead_id"), ["lead_id"], unique=False)

    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("lead_id", sa.String(length=40), nullable=False),
        sa.Column("call", sa.String(length=12), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("result", sa.String(length=12), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(length=255), nullable=True),
        sa.Column("price", sa.BigInteger(), nullable=True),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_attempts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("lead_id", "call", "number", name=op.f("uq_attempts")),
    )
    op.create_table(
        "replies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("lead_id", sa.String(length=40), nullable=False),
        sa.Column("medium", sa.String(length=8), nullable=False),
        sa.Column("address", sa.String(length=255), nullable=False),
        sa.Column("correlation_id", sa.String(length=255), nullable=True),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["lead_id"], ["leads.lead_id"], name=op.f("fk_replies")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replies")),
    )
    with op.batch_alter_table("replies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_replies_lead_id"), ["lead_id"], unique=False)
        batch_op.create_index(
            "ix_replies_untold",
            ["lead_id"],
            unique=False,
            sqlite_where=sa.text("told_at IS NULL"),
            postgresql_where=sa.text("told_at IS NULL"),
        )


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("replies", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_replies_untold", sqlite_where=sa.text("told_at IS NULL"), postgresql_where=sa.text("told_at IS NULL")
        )
        batch_op.drop_index(batch_op.f("ix_replies_lead_id"))

    op.drop_table("replies")
    op.drop_table("attempts")
    with op.batch_alter_table("refusals", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refusals_lead_id"))

    op.drop_table("refusals")
    with op.batch_alter_table("leads", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_leads_untold",
            sqlite_where=sa.text("status IS NOT NULL AND told_at IS NULL"),
            postgresql_where=sa.text("status IS NOT NULL AND told_at IS NULL"),
        )
        batch_op.drop_index("ix_leads_token")
        batch_op.drop_index(
            "ix_leads_open", sqlite_where=sa.text("status IS NULL"), postgresql_where=sa.text("status IS NULL")
        )
        batch_op.drop_index("ix_leads_ended_at")

    op.drop_table("leads")
    op.drop_table("gates")
