"""How Alembic reaches the tables: over the connection that it is given."""

from __future__ import annotations

from alembic import context

from anomalist.server.database.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
    user_module_prefix="tables.",
)
with context.begin_transaction():
    context.run_migrations()
