"""An index of ended leads that still hold their content, so that retention finds the old ones among millions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

UNERASED = sa.text("status IS NOT NULL AND content IS NOT NULL")


def upgrade() -> None:
    """Bring the tables here."""
    op.create_index(
        "ix_leads_unerased",
        "leads",
        ["ended_at"],
        sqlite_where=UNERASED,
        postgresql_where=UNERASED,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_leads_unerased", "leads")
