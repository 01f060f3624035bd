"""The file behind a SQLite engine: made on purpose only, and left as soon as another is in its place.

SQLite goes on with a file that was deleted, renamed or replaced: what it writes there nobody else ever
sees. So a connection remembers which file it has open, is asked whether that is still the one at its
path whenever it is used, and again after a commit. That costs two microseconds.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidatePoolError

from app.core.errors import ConfigurationError, StoreUnavailable, StoreUnusable

_PATH: Final = "path"
_OPENED: Final = "opened"
_BESIDE: Final = ("-wal", "-shm")


def hold(engine: Engine, path: Path, mode: Literal["ro", "rw"]) -> None:
    """Let `engine` open the file at `path` and no other, and let go of one that is there no more.

    `mode` is SQLite's: to read only, or to write as well.
    """

    @event.listens_for(engine, "do_connect")
    def _open(_dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        record.info.update({_PATH: path, _OPENED: _at(path)})
        if record.info[_OPENED] is None:
            raise gone(path)
        # Without a mode SQLite would make a file that is not there.
        arguments[0] = f"file:{quote(str(path.absolute()))}?mode={mode}"
        options["uri"] = True

    @event.listens_for(engine, "checkout")
    def _same(connection: Any, record: Any, _proxy: Any) -> None:
        if record.info[_OPENED] == _at(path):
            return
        structlog.get_logger().warning(
            "database_file_replaced", file=str(path), there=path.exists()
        )
        _leave(connection)
        raise InvalidatePoolError


def _leave(connection: Any) -> None:
    """Put what was committed last into the file that is left.

    SQLite keeps it in a second file beside the path, and would take that for the new file's.
    """
    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise StoreUnavailable(
            "the database file was removed or replaced while it was in use: try again in a moment"
        )


def require_same(connection: Connection) -> None:
    """Raise StoreUnavailable where what was just committed went into a file that is gone."""
    path = connection.info.get(_PATH)
    if path is not None and connection.info[_OPENED] != _at(path):
        raise StoreUnavailable(
            f"the database file {path} was removed or replaced while this was written, and it is "
            "lost with it: run this again"
        )


def make(path: Path) -> None:
    """Make the empty file that becomes a database, unless there is one.

    What lies beside it belongs to one that is gone, and a program may have that open still: SQLite
    would work on it together with the new file. Raises ConfigurationError where it cannot be made.
    """
    try:
        with _alone_in(path.parent):
            if not path.exists():
                for suffix in _BESIDE:
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
                path.touch()
    except OSError as error:
        raise ConfigurationError(f"DB_URL's file {path} cannot be made: {error.strerror}") from None


def gone(path: Path) -> StoreUnusable:
    """What to say of a file that is not there."""
    return StoreUnusable(
        f"there is no database at {path}: put it back, or make one (make migrate, make initial_load)"
    )


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that make a database in this folder waiting."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _at(path: Path) -> tuple[int, int] | None:
    """Which file is at the path; None where none is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
