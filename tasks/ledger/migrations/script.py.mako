"""${message}

Only adds (ops/adr/0005): old workers run on these tables too. New columns are nullable or have a server default; an
index says if_not_exists=True, so that a big table can get it CONCURRENTLY beforehand. Then raise `version.NEEDED`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Bring the tables here."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take it back."""
    ${downgrades if downgrades else "pass"}
