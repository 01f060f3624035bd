"""SQLite: the engine, the file behind it, and whether that file is whole.

SQLite keeps using a file that was deleted, and nobody else ever sees what it writes there. So each
connection remembers which file it has open. At each checkout it is compared with the file at the
path, which costs two microseconds.

SQLite notices a damaged page only when it reads it, and other pages may have been written by then.
Its `quick_check` reads all pages: 4 ms for two pairs with a year of days, 1.6 s for a million
minutes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidatePoolError, OperationalError

from app.core.errors import ConfigurationError, StoreUnusable
from app.core.how_to_run import how_to_run
from app.db.session import POOL, SQLITE, is_locked, reading

BUSY_SECONDS: Final = 5
"""Seconds that a write waits for a locked SQLite file. Not even a signal ends that wait."""

QUICK: Final = 64 * 2**20
"""Bytes that can be checked in a second. Commands that run often do not check larger files."""

LONGEST_WAIT: Final = 3_600
"""The highest `timeout` of a URL, in seconds."""

_MODES: Final = ("ro", "rw", "rwc")  # as SQLite names them; without one, rwc
_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False}
_VARIABLE: Final = re.compile(r"\$(?:\w+|\{\w+\})")

_BUSY_PAUSE: Final = 0.02
_OPENED: Final = "opened"
_BESIDE: Final = ("-wal", "-shm")


def open_file(url: URL, busy_seconds: float = BUSY_SECONDS) -> Engine:
    """Create an engine for a SQLite file; nothing is connected yet.

    `busy_seconds` is how long a write waits for a locked file, unless the URL has a `timeout`. The
    folder is created, for its owner alone. The file is not: `write_ahead` does that. Raises
    ConfigurationError where the URL has an option that cannot count, or the folder cannot be
    created.
    """
    options = _options(url)
    busy_seconds = _seconds(options.get("timeout"), busy_seconds)
    file = file_of(url)
    mode = options.get("mode")
    # SQLAlchemy knows `mode` only where there is a `uri`.
    query = {} if mode is None else {"mode": mode, "uri": "true"}
    url = URL.create(SQLITE, database=str(file), query=query)
    try:
        _make_folder(file.parent)
    except OSError as error:
        raise ConfigurationError(
            f"DB_URL's folder {file.parent} cannot be created: {error.strerror}"
        ) from None
    engine = create_engine(url, connect_args={"timeout": busy_seconds}, **POOL)

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # Left alone, the driver begins transactions at the wrong moment and of the wrong kind.
        connection.isolation_level = None
        for pragma in (
            "foreign_keys=ON",
            f"busy_timeout={round(busy_seconds * 1000)}",
            # A reported commit survives a power cut. Loads are too rare for this to cost much.
            "synchronous=FULL",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    _hold(engine, file, "ro" if mode == "ro" else "rw")
    return engine


def _make_folder(folder: Path) -> None:
    """Create a folder and those above it for their owner alone, except what exists."""
    if not folder.is_dir():
        if folder.parent != folder:
            _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def file_of(url: URL) -> Path:
    """The file that a SQLite URL names, with ~ expanded.

    Raises ConfigurationError where it names none, or where its folder would be named after a
    variable or a ~ that nobody expanded.
    """
    name = url.database or ""
    if name.startswith("file:"):
        # SQLite's own form of a name, file:/folder/mms.db with uri=true, is accepted as well.
        if not _SWITCH.get(_options(url).get("uri", "")):
            raise ConfigurationError(
                "DB_URL: a name that begins with file: needs the option uri=true; or write "
                "sqlite:///./data/mms.db"
            )
        name = re.sub(r"^//(localhost)?(?=/)", "", unquote(name.removeprefix("file:")))
    if name in ("", ":memory:"):
        raise ConfigurationError(
            "DB_URL names no file: a SQLite database in memory is a new, empty one for each "
            "connection; write sqlite:///./data/mms.db"
        )
    try:
        file = Path(name).expanduser()
    except RuntimeError:
        raise ConfigurationError(
            "DB_URL: the home folder that its ~ stands for is not known; write the whole path"
        ) from None
    if any(part == "~" or _VARIABLE.fullmatch(part) for part in file.parts):
        raise ConfigurationError(
            "DB_URL: its path holds a ~ that is not at the beginning, or a variable that nobody "
            "replaced; write sqlite:///~/mms.db, or the whole path"
        )
    return file


def _options(url: URL) -> dict[str, str]:
    """The options of a SQLite URL. Raises ConfigurationError for one that would not count."""
    checks: dict[str, Callable[[str], bool]] = {
        "mode": lambda value: value in _MODES,
        "timeout": lambda value: 0 <= _seconds(value, -1) <= LONGEST_WAIT,
        "uri": lambda value: value in _SWITCH,
    }
    for name, value in url.query.items():
        if name not in checks or not isinstance(value, str) or not checks[name](value):
            problem = "is not what can stand there" if name in checks else "cannot be used here"
            raise ConfigurationError(
                f"DB_URL: the option {name} {problem}. Allowed are, once each, mode (ro, rw or "
                f"rwc), timeout (seconds, to {LONGEST_WAIT}) and uri (true or false)"
            )
    return {name: str(value) for name, value in url.query.items()}


def _seconds(value: str | None, default: float) -> float:
    try:
        return default if value is None else float(value)
    except ValueError:
        return -1.0


def has_file(url: URL) -> bool:
    """Whether a SQLite URL names a file that is not empty; True for any other database."""
    if url.get_backend_name() != SQLITE:
        return True
    file = file_of(url)
    return file.is_file() and file.stat().st_size > 0


def require_file(url: URL) -> None:
    """Raise StoreUnusable where there is no file at a SQLite URL."""
    if not has_file(url):
        raise _gone(file_of(url))


def write_ahead(engine: Engine, sleep: Callable[[float], None] = time.sleep) -> None:
    """Put a SQLite file into WAL mode, where readers and the writer do not wait for each other.

    Creates the file if there is none. The file keeps the mode, so only creation and migration set
    it: an ordinary connection could change the file of another program. While another connection
    uses the file, SQLite refuses the change at once, without its usual wait; hence the pauses.
    Raises StoreError, and ConfigurationError where the file cannot be created.
    """
    if engine.dialect.name != SQLITE:
        return
    file = file_of(engine.url)
    if engine.url.query.get("mode", "rwc") == "rwc":
        _make(file)
    elif not file.exists():
        raise _gone(file)
    pauses = iter([_BUSY_PAUSE] * int(BUSY_SECONDS / _BUSY_PAUSE))
    with reading(engine) as connection:
        while connection.scalar(text("PRAGMA journal_mode")) != "wal":
            try:
                connection.execute(text("PRAGMA journal_mode=WAL"))
            except OperationalError as error:
                if not is_locked(error) or (pause := next(pauses, None)) is None:
                    raise
                sleep(pause)


def require_sound(engine: Engine, most: int | None = None) -> None:
    """Raise StoreUnusable where the engine's SQLite file is damaged; nothing is written.

    A file of more than `most` bytes is not checked. Raises StoreUnavailable where it is locked.
    """
    if engine.dialect.name != SQLITE or not has_file(engine.url):
        return
    if most is not None and file_of(engine.url).stat().st_size > most:
        return
    with reading(engine) as connection:
        report = connection.scalars(text("PRAGMA quick_check(1)")).all()
    if report != ["ok"]:
        reason = " ".join(str(report[0]).split())
        raise StoreUnusable(
            f"DB_URL's file is damaged ({reason}): restore a backup, or move it away and load anew; it "
            "was not changed"
        )


def _hold(engine: Engine, path: Path, mode: str) -> None:
    """Let `engine` open only the file at `path`, which must exist.

    `mode` is SQLite's: read only, or read and write.
    """

    @event.listens_for(engine, "do_connect")
    def _open(_dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> None:
        record.info[_OPENED] = _at(path)
        if record.info[_OPENED] is None:
            raise _gone(path)
        # Without a mode SQLite would create a missing file.
        arguments[0] = f"file:{quote(str(path.absolute()))}?mode={mode}"
        options["uri"] = True

    @event.listens_for(engine, "checkout")
    def _same(_connection: Any, record: Any, _proxy: Any) -> None:
        if record.info[_OPENED] != _at(path):
            raise InvalidatePoolError  # every connection is opened anew


def _make(path: Path) -> None:
    """Create the empty file that becomes a database, for its owner alone, unless it exists.

    SQLite gives the files beside it, such as FILE-wal, the same mode. Raises ConfigurationError
    where it cannot be created, or where the changes of a deleted file are still beside it: SQLite
    would apply them to the new one.
    """
    left = [name for suffix in _BESIDE if Path(name := f"{path}{suffix}").exists()]
    if path.exists():  # checked last: another program may be creating it at this moment
        return
    if left:
        raise ConfigurationError(
            f"DB_URL's file {path} is gone, but these are left: {', '.join(left)}. Put the file back; "
            "or stop the programs that had it open, and remove what is left"
        )
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise ConfigurationError(
            f"DB_URL's file {path} cannot be created: {error.strerror}"
        ) from None


def _gone(path: Path) -> StoreUnusable:
    """The error for a missing file."""
    return StoreUnusable(
        f"there is no database at {path}: put it back, or make one ({how_to_run('migrate')}, "
        f"{how_to_run('load')})"
    )


def _at(path: Path) -> tuple[int, int] | None:
    """The device and inode of the file at the path; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
