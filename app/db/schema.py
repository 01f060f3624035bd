"""The schema's version: what the code needs, what a database has, and how to bring it there.

A migration that only adds (a table, a nullable column) also names the oldest program that works on
its schema, as in `0006_from_0005`. That program runs on the newer schema, so that a deployment can
move tasks one by one and go back to the previous version. Any other migration is named by its
number alone, and earlier programs refuse its schema.

Alembic itself is imported only to migrate: an API start on the right version skips it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError

from app.core.errors import StoreUnusable
from app.core.how_to_run import how_to_run
from app.db.session import SQLITE, reading, transaction
from app.db.sqlite import has_file, write_ahead

HEAD: Final = "0009_from_0008"
"""The newest migration; a test keeps it equal to the folder's."""

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_OLDEST: Final = "_from_"
_LOCK: Final = 0x4D4D53  # "MMS": the key of PostgreSQL's advisory lock around a migration


def version(engine: Engine) -> str | None:
    """The schema version of the database; None where it is empty or does not exist yet.

    Raises StoreUnusable where the database holds only foreign tables, and StoreUnavailable.
    """
    if not has_file(engine.url):
        return None
    with reading(engine) as connection:
        return version_of(connection)


def require(engine: Engine) -> None:
    """Raise StoreUnusable, with the command to run, unless this program works on the schema."""
    if not serves(current := version(engine)):
        refuse_newer(current)
        state = "has no tables yet" if current is None else f"is at version {current}"
        migrate = how_to_run("migrate")
        raise StoreUnusable(f"the database {state} and this program needs {HEAD}: {migrate}")


def migrate(engine: Engine) -> bool:
    """Bring the database to HEAD. Returns whether anything was done.

    Safe to run from many processes at once: the first one migrates, the others have nothing left to
    do. All migrations run in one transaction: either all happen or none. Raises StoreError.
    """
    done = serves(current := version(engine))
    if not done:
        refuse_newer(current)
    write_ahead(engine)
    if done:
        return False
    with transaction(engine) as connection:
        lock(connection)
        if serves(current := version_of(connection)):
            return False
        refuse_newer(current)
        try:
            upgrade(connection)
        except (ProgrammingError, IntegrityError, DataError) as error:
            # A refused statement is the migration's fault. An outage keeps its own error.
            reason = " ".join(str(error.orig).split())
            raise StoreUnusable(
                f"a migration from version {current} to {HEAD} failed, and nothing was changed: "
                f"{reason}"
            ) from error
    return True


def serves(current: str | None) -> bool:
    """Whether this program works on a database at version `current`."""
    return current == HEAD or (current is not None and only_adds(current))


def only_adds(current: str, head: str = HEAD) -> bool:
    """Whether the newer schema `current` only adds to that of a program of version `head`."""
    number, _, oldest = current.partition(_OLDEST)
    mine = head.partition(_OLDEST)[0]
    return number > mine and bool(oldest) and oldest <= mine


def lock(connection: Connection) -> None:
    """Keep every other process from changing the schema until this transaction ends."""
    if connection.dialect.name != SQLITE:  # there the transaction is the only writer anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Run the migrations up to version `to` inside the open transaction."""
    from alembic import command  # noqa: PLC0415 - a third of a second that most starts do not need
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def version_of(connection: Connection) -> str | None:
    """As `version`, inside an open transaction."""
    tables = set(connection.scalars(text(_TABLES[connection.dialect.name])))
    if not tables:
        if connection.dialect.name != SQLITE and _homeless(connection):
            raise StoreUnusable(
                "the search_path of DB_URL's role names no schema that exists, so its tables have no "
                "place: ALTER ROLE … SET search_path = public, or create the schema that it names"
            )
        return None
    if "alembic_version" not in tables:
        raise StoreUnusable(
            "DB_URL's database belongs to another program (it holds "
            f"{', '.join(sorted(tables)[:3])}, but no version of ours); it was not changed. "
            "Point DB_URL at an empty one"
        )
    current: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return current


def _homeless(connection: Connection) -> bool:
    return connection.scalar(text("SELECT current_schema()")) is None


def refuse_newer(current: str | None) -> None:
    """Raise StoreUnusable where a database is at a version newer than this program's."""
    if current is not None and current > HEAD:
        raise StoreUnusable(
            f"the database is at version {current}, newer than this program's {HEAD}: run the newer "
            "program, or restore the backup that was taken before it migrated"
        )


_TABLES: Final = {
    SQLITE: "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
}
