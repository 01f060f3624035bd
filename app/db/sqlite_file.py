"""The file behind a SQLite engine: made on purpose only, and no longer used once it is gone.

SQLite goes on with a file that was deleted, and nobody else ever sees what it writes there. So a
connection remembers which file it has open, and is asked whether that is still the one at its path
whenever it is used, which costs two microseconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

from app.core.errors import ConfigurationError, StoreUnusable

_OPENED: Final = "opened"
_BESIDE: Final = ("-wal", "-shm")


def hold(engine: Engine, path: Path, mode: Literal["ro", "rw"]) -> None:
    """Let `engine` open the file at `path`, which must be there, and no other.

    `mode` is SQLite's: to read only, or to write as well.
    """

    @event.listens_for(engine, "do_connect")
    def _open(_dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        record.info[_OPENED] = _at(path)
        if record.info[_OPENED] is None:
            raise gone(path)
        # Without a mode SQLite would make a file that is not there.
        arguments[0] = f"file:{quote(str(path.absolute()))}?mode={mode}"
        options["uri"] = True

    @event.listens_for(engine, "checkout")
    def _same(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info[_OPENED] != _at(path):
            raise InvalidatePoolError  # all are opened anew


def make(path: Path) -> None:
    """Make the empty file that becomes a database, unless there is one.

    Raises ConfigurationError where it cannot be made, or where another one's changes lie beside it:
    SQLite would take them for this one's.
    """
    left = [name for suffix in _BESIDE if Path(name := f"{path}{suffix}").exists()]
    if path.exists():  # asked last: another program may just be making it
        return
    if left:
        raise ConfigurationError(
            f"DB_URL's file {path} is gone, and {' and '.join(left)} of it is left: put it back; or stop "
            "the programs that had it open, and remove what is left"
        )
    try:
        path.touch()
    except OSError as error:
        raise ConfigurationError(f"DB_URL's file {path} cannot be made: {error.strerror}") from None


def gone(path: Path) -> StoreUnusable:
    """What to say of a file that is not there."""
    return StoreUnusable(
        f"there is no database at {path}: put it back, or make one (make migrate, make initial_load)"
    )


def _at(path: Path) -> tuple[int, int] | None:
    """Which file is at the path; None where none is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
