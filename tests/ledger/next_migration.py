"""The next version's migrations: ours, and one more as a coming release may bring it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tasks.ledger.migrate import MIGRATIONS

NEXT = "9999"
_SCRIPT = """
import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{last}"


def upgrade() -> None:
    op.add_column("leads", sa.Column("campaign", sa.Text, server_default="none", nullable=False))
    op.add_column("attempts", sa.Column("note", sa.Text, nullable=True))
    op.create_index("ix_leads_campaign", "leads", ["campaign"], if_not_exists=True)
    op.create_table("campaigns", sa.Column("name", sa.Text, primary_key=True))
"""


def next_migrations(folder: Path, last: str) -> Path:
    """Make them in `folder`; the additional one follows the version `last`."""
    there = folder / "migrations"
    shutil.copytree(MIGRATIONS, there, ignore=shutil.ignore_patterns("__pycache__"))
    (there / "versions" / f"{NEXT}_next.py").write_text(_SCRIPT.format(next=NEXT, last=last))
    return there
