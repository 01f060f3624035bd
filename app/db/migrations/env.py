"""Alembic's entry: runs the migrations on the connection that `app.db.schema.migrate` opened."""

from __future__ import annotations

from alembic import context

from app.db.models import METADATA


def run() -> None:
    """Run inside the caller's transaction; the caller begins and commits it."""
    context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
    context.run_migrations()


run()
