"""Alembic's entry: the connection is handed over by gateway.store.database.migrate."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
context.run_migrations()
