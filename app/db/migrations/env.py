"""Alembic's entry: runs the migrations on the connection that `app.db.schema.migrate` opened."""

from __future__ import annotations

from alembic import context

from app.db.models import Base


def run() -> None:
    """Run inside the caller's transaction; the caller begins and commits it."""
    context.configure(
        connection=context.config.attributes["connection"], target_metadata=Base.metadata
    )
    context.run_migrations()


run()
