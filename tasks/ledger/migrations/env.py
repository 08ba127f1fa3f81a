"""Alembic's way in: always handed a connection that is in a transaction and alone (`tasks.ledger.migrate`)."""

from __future__ import annotations

from alembic import context

from tasks.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
