"""The file format of a backup: gzipped lines of JSON, the same from every database.

    {"format":"mms-backup","version":2,"schema":"0005","created_at":"2026-10-28T12:00:00Z"}
    {"table":"series","columns":["checked_at","interval","pair","revision"]}
    [1792843200,"1d","BTC-BRL",1879892243251200123]
    …
    {"end":{"rows":{"series":2, …},"sha256":"…"}}

A table comes after the tables that it refers to. `zcat FILE | head` shows the beginning of a file.

Version 1, written by program 0.1.0, can be read too. Its last line has a hash for each table, which
is not checked: gzip's own checksum covers the bytes, and the last line gives the number of rows.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
import stat
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.errors import ConfigurationError, StoreUnusable
from app.db.schema import HEAD
from app.domain.times import iso

FORMAT: Final = "mms-backup"
VERSION: Final = 2

_LONGEST_LINE: Final = 1_000_000
_EFFORT: Final = 3
"""The level of gzip. Prices are random digits: a higher level is much slower and saves little."""

_UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""The errors of a line that is JSON of another shape, or no JSON."""

Row = tuple[str, Any, bytes]
"""A table's name, its columns as named in the backup (unchecked), and the line of one row."""

_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, slots=True)
class Content:
    """A summary of a backup: the schema's version, the number of rows of each table, and the hash.

    The hash is the SHA-256 of the schema's version and of all lines of tables and rows.
    """

    schema: str
    rows: Mapping[str, int]
    sha256: str


class _Tally:
    """Counts and hashes the lines of a backup."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._rows: dict[str, int] = {}
        self._hash = hashlib.sha256(f"schema {schema}\n".encode())

    def add(self, table: str, line: bytes, *, rows: int = 1) -> None:
        self._rows[table] = self._rows.get(table, 0) + rows
        self._hash.update(line)

    def content(self) -> Content:
        return Content(self._schema, self._rows, self._hash.hexdigest())


class Writer:
    """Writes one backup, from its first line to its last."""

    def __init__(self, out: gzip.GzipFile, schema: str, now: float) -> None:
        self._out = out
        self._tally = _Tally(schema)
        head = {"format": FORMAT, "version": VERSION, "schema": schema}
        out.write(line_of({**head, "created_at": iso(int(now))}))

    def table(self, name: str, columns: list[str], lines: Iterable[bytes]) -> None:
        """Write one whole table."""
        head = line_of({"table": name, "columns": columns})
        self._tally.add(name, head, rows=0)
        self._out.write(head)
        for line in lines:
            self._tally.add(name, line)
            self._out.write(line)

    def end(self) -> Content:
        """Write the last line; returns the summary."""
        content = self._tally.content()
        self._out.write(line_of({"end": {"rows": content.rows, "sha256": content.sha256}}))
        return content


class Reader:
    """Reads one backup. `schema` is its version of the schema, from the first line."""

    def __init__(self, file: Path, lines: Iterator[bytes]) -> None:
        self._file = file
        self._lines = lines
        self._version, self.schema = _head(file, next(lines, b""))
        self._tally = _Tally(self.schema)

    def rows(self) -> Iterator[Row]:
        """All rows, once. Raises StoreUnusable, perhaps only at the end: commit only after it."""
        name, columns = "", None
        for line in self._lines:
            if line.startswith(b"["):
                self._tally.add(name, line)
                yield name, columns, line
                continue
            heading = _read(self._file, line)
            if "table" not in heading:
                self._require_agreement(heading.get("end"))
                return
            name, columns = str(heading["table"]), heading.get("columns")
            self._tally.add(name, line, rows=0)
        raise _damaged(self._file, "its last line is missing")

    def content(self) -> Content:
        """The summary of the rows that were read."""
        return self._tally.content()

    def _require_agreement(self, end: Any) -> None:
        content = self.content()
        try:
            if self._version == 1:
                counts = {name: table["rows"] for name, table in end["tables"].items()}
                agrees = counts == content.rows
            else:
                agrees = end["sha256"] == content.sha256
        except _UNREADABLE:
            agrees = False
        if not agrees:
            raise _damaged(self._file, "its rows are not those that were written")
        if next(self._lines, None):  # reading to the end also checks gzip's checksum
            raise _damaged(self._file, "it goes on after its last line")


@contextmanager
def writing(file: Path, schema: str, now: float) -> Iterator[Writer]:
    """Write a backup. It appears under its name once it is complete, and not at all otherwise.

    An earlier backup of that name is replaced, but not its mode; a new one is for its owner alone.
    Raises StoreUnusable where `file` is something else, ConfigurationError where it cannot be read
    or has no folder, OSError where it cannot be written.
    """
    if not file.parent.is_dir():
        raise ConfigurationError(f"{file}: there is no folder {file.parent}; create it first")
    mode = None
    if file.exists():
        mode = stat.S_IMODE(file.stat().st_mode)
        with reading(file):
            pass
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb", opener=_for_owner) as raw:
            if mode is not None:
                os.fchmod(raw.fileno(), mode)
            with gzip.GzipFile("", "wb", _EFFORT, raw, mtime=0) as packed:
                yield Writer(packed, schema, now)
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name must survive a power cut too
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def reading(file: Path) -> Iterator[Reader]:
    """Open a backup. Raises StoreUnusable where it is foreign, damaged, or from a newer program.

    Raises ConfigurationError where the file cannot be read.
    """
    with closing(_lines(file)) as lines:
        yield Reader(file, lines)


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def line_of(value: Any) -> bytes:
    """A row, or a line between rows, as JSON with its line end."""
    return _encode(value).encode("ascii") + b"\n"


def _lines(file: Path) -> Generator[bytes, None, None]:
    started = False
    try:
        with gzip.open(file) as opened:
            while line := opened.readline(_LONGEST_LINE):
                if not line.endswith(b"\n"):
                    raise EOFError("a line does not end")
                yield line
                started = True
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        if not started:
            raise _foreign(file) from error
        raise _damaged(file, str(error)) from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error


def _head(file: Path, line: bytes) -> tuple[int, str]:
    """The version of the format, and that of the schema."""
    try:
        head = json.loads(line)
        form, version, schema = head["format"], int(head["version"]), str(head["schema"])
    except _UNREADABLE as error:
        raise _foreign(file) from error
    if form != FORMAT:
        raise _foreign(file)
    if version > VERSION or schema > HEAD:
        raise StoreUnusable(
            f"{file} was written by a newer program (format {version}, schema {schema!r}; this one "
            f"reads up to {VERSION} and {HEAD}): restore it with that program; nothing was changed"
        )
    return version, schema


def _read(file: Path, line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except _UNREADABLE as error:
        raise _damaged(file, "it has an unreadable line") from error


def _foreign(file: Path) -> StoreUnusable:
    return StoreUnusable(f"{file} is no backup of this program; nothing was changed")


def _damaged(file: Path, how: str) -> StoreUnusable:
    return StoreUnusable(f"{file} is damaged ({how}): use another backup; nothing was changed")
