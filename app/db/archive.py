"""The file that a backup is: gzipped lines of JSON, the same from every database.

    {"format":"mms-backup","version":1,"schema":"0005","created_at":"2026-10-28T12:00:00Z"}
    {"table":"series","columns":["checked_at","interval","pair","revision"]}
    [1792843200,"1d","BTC-BRL",1879892243251200123]
    …
    {"end":{"tables":{"series":{"rows":2,"sha256":"…"}, …},"numbered":{"prices":17},"sha256":"…"}}

Tables stand after those that they refer to. Without its last line, or with a row changed, a file is
refused. `zcat FILE | head` shows one to people.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from app.core.errors import ConfigurationError, StoreUnusable
from app.db.content import BLOCK, Content, Summing, TableSum, encode
from app.db.schema import HEAD

FORMAT: Final = "mms-backup"
VERSION: Final = 1

_LONGEST_LINE: Final = 1_000_000
_SCHEMA: Final = re.compile(r"[0-9]{4}(_from_[0-9]{4})?", re.ASCII)
_EFFORT: Final = 3
"""Of gzip. Prices are random digits: more effort takes much longer and makes little smaller."""


@dataclass(frozen=True, slots=True)
class Head:
    """The schema's version that the tables are at, and when the backup was made."""

    schema: str
    created_at: str


@dataclass(frozen=True, slots=True)
class TableBegins:
    """The rows that follow are this table's, their values in the order of `columns`."""

    name: str
    columns: list[str]


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of the table that began last, as lines."""

    lines: list[bytes]


@dataclass(frozen=True, slots=True)
class End:
    """What all rows come to; `numbered` is the highest id that each numbered table has given."""

    tables: Mapping[str, TableSum]
    numbered: Mapping[str, int]
    sha256: str


Part = Head | TableBegins | Rows | End


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself, proven against its rows."""

    content: Content
    numbered: Mapping[str, int]
    created_at: str


class Writer:
    """Writes one backup, from its first line to its last."""

    def __init__(self, out: gzip.GzipFile, schema: str, now: float) -> None:
        self._out = out
        self._schema = schema
        self._sums: dict[str, TableSum] = {}
        created_at = f"{datetime.fromtimestamp(int(now), UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._line(format=FORMAT, version=VERSION, schema=schema, created_at=created_at)

    def table(self, name: str, columns: list[str], blocks: Iterable[list[bytes]]) -> TableSum:
        """Write one whole table."""
        self._line(table=name, columns=columns)
        summing = Summing(columns)
        for lines in blocks:
            summing.add(lines)
            self._out.write(b"".join(lines))
        self._sums[name] = summing.result()
        return self._sums[name]

    def end(self, numbered: Mapping[str, int]) -> Content:
        """Write the last line."""
        content = Content(self._schema, self._sums)
        tables = {name: {"rows": s.rows, "sha256": s.sha256} for name, s in self._sums.items()}
        self._line(end={"tables": tables, "numbered": numbered, "sha256": content.sha256})
        return content

    def _line(self, **value: Any) -> None:
        self._out.write(encode(value).encode("ascii") + b"\n")


@contextmanager
def writing(file: Path, schema: str, now: float) -> Iterator[Writer]:
    """A backup that appears under its name once it is complete, and not at all otherwise.

    An earlier backup of that name is replaced. Raises ConfigurationError where something else is
    there, OSError where nothing can be written.
    """
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as raw:
            with gzip.GzipFile("", "wb", _EFFORT, raw, mtime=0) as packed:
                yield Writer(packed, schema, now)
            raw.flush()
            os.fsync(raw.fileno())
        part.replace(file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name must survive a power cut as the rows do
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


def require_replaceable(file: Path) -> None:
    """Raise ConfigurationError where a backup must not be written: over something that is none."""
    if not file.parent.is_dir():
        raise ConfigurationError(f"{file}: there is no folder {file.parent}; make it first")
    if not file.exists():
        return
    try:
        next(parts(file))
    except (StoreUnusable, ConfigurationError) as error:
        raise ConfigurationError(
            f"{file} is there already and is no backup that this program would replace; it was not "
            "changed: choose another FILE"
        ) from error


def verify(file: Path) -> Manifest:
    """Read a whole backup and prove that it is complete and unchanged.

    Raises StoreUnusable where it is damaged, cut short, foreign, or of a newer program, and
    ConfigurationError where there is no such file.
    """
    head, end, summing = None, None, None
    sums: dict[str, Summing] = {}
    for part in parts(file):
        if end is not None:
            raise _damaged(file, "it goes on after its end")
        match part:
            case Head():
                head = part
            case TableBegins(name, columns):
                if name in sums:
                    raise _damaged(file, f"it holds {name!r} twice")
                summing = sums[name] = Summing(columns)
            case Rows(lines):
                if summing is None:
                    raise _damaged(file, "it holds rows of no table")
                summing.add(lines)
            case End():
                end = part
    if head is None or end is None:
        raise _damaged(file, "its end is missing")
    content = Content(head.schema, {name: item.result() for name, item in sums.items()})
    if (content.tables, content.sha256) != (end.tables, end.sha256):
        raise _damaged(file, "its rows are not those that were written")
    return Manifest(content, end.numbered, head.created_at)


def parts(file: Path) -> Iterator[Part]:
    """A backup from its first line to its last, rows in blocks. Raises as `verify` does."""
    lines = _lines(file)
    yield _head(file, next(lines, b""))
    block: list[bytes] = []
    for line in lines:
        if line.startswith(b"["):
            block.append(line)
            if len(block) == BLOCK:
                yield Rows(block)
                block = []
            continue
        if block:
            yield Rows(block)
            block = []
        yield _directive(file, line)
    if block:
        yield Rows(block)


def _lines(file: Path) -> Iterator[bytes]:
    found = False
    try:
        with gzip.open(file) as opened:
            while line := opened.readline(_LONGEST_LINE):
                if not line.endswith(b"\n"):
                    raise EOFError("a line does not end")
                yield line
                found = True
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        if not found:
            raise _foreign(file) from error
        raise _damaged(file, str(error)) from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error


def _head(file: Path, line: bytes) -> Head:
    try:
        said = json.loads(line)
        if said["format"] != FORMAT:
            raise _foreign(file)
        version, schema, created_at = int(said["version"]), said["schema"], str(said["created_at"])
        created_at.encode()  # it is shown to people
        known = _SCHEMA.fullmatch(schema) is not None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _foreign(file) from error
    if version > VERSION or (known and schema > HEAD):
        raise StoreUnusable(
            f"{file} was made by a newer program (format {version}, schema {schema}; this one knows "
            f"{VERSION} and {HEAD}): restore it with that one; nothing was changed"
        )
    if not known:
        raise _foreign(file)
    return Head(schema, created_at)


def _directive(file: Path, line: bytes) -> TableBegins | End:
    try:
        said = json.loads(line)
        if "table" in said:
            name, columns = str(said["table"]), [str(each) for each in said["columns"]]
            # JSON can spell half a character, which no database and no checksum takes.
            "".join([name, *columns]).encode()
            return TableBegins(name, columns)
        end = said["end"]
        sums = {name: TableSum(**item) for name, item in end["tables"].items()}
        return End(sums, {k: int(v) for k, v in end["numbered"].items()}, end["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(file, "a line of it cannot be read") from error


def _foreign(file: Path) -> StoreUnusable:
    return StoreUnusable(f"{file} is no backup of this program; nothing was changed")


def _damaged(file: Path, how: str) -> StoreUnusable:
    return StoreUnusable(f"{file} is damaged ({how}): use another backup; nothing was changed")
