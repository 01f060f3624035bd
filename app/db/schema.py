"""The schema's version: what the code needs, what a database has, and how to bring it there.

Alembic itself is imported only to migrate: an API start that finds the right version skips it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text

from app.core.errors import StoreUnusable
from app.db.session import SQLITE, reading, transaction

HEAD: Final = "0004"
"""The newest migration; a test keeps it equal to the folder's."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x4D4D53  # "MMS": the key of PostgreSQL's advisory lock around a migration


def version(engine: Engine) -> str | None:
    """The schema version of the database; None where it holds no schema of ours.

    Raises StoreUnusable where the database holds tables but not ours, and StoreUnavailable.
    """
    with reading(engine) as connection:
        return _version(connection)


def require(engine: Engine) -> None:
    """Raise StoreUnusable, with the command that mends it, unless the schema is the code's."""
    _refuse_newer(found := version(engine))
    if found != HEAD:
        state = "has no tables yet" if found is None else f"is at version {found}"
        raise StoreUnusable(f"the database {state} and this program needs {HEAD}: make migrate")


def migrate(engine: Engine) -> bool:
    """Bring the database to HEAD. Returns whether anything was done.

    Safe to run from many processes at once: the first does it, the others find it done. The whole
    way is one transaction: it happens or it does not.
    """
    if version(engine) == HEAD:
        return False
    with transaction(engine) as connection:
        if engine.dialect.name != SQLITE:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = _version(connection)
        if found == HEAD:
            return False
        _refuse_newer(found)
        _upgrade(connection)
    return True


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - a third of a second that most starts do not need
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    tables = set(connection.scalars(text(_TABLES[connection.dialect.name])))
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StoreUnusable(
            "DB_URL's database belongs to another program (it holds "
            f"{', '.join(sorted(tables)[:3])}, but no version of ours); it was not changed. "
            "Point DB_URL at an empty one"
        )
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > HEAD:
        raise StoreUnusable(
            f"the database is at version {found}, newer than this program's {HEAD}: run the newer "
            "program, or restore the backup that was taken before it migrated"
        )


_TABLES: Final = {
    SQLITE: "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}
