"""The file that a backup is: gzipped lines of JSON, the same from every database.

    {"format":"mms-backup","version":2,"schema":"0005","created_at":"2026-10-28T12:00:00Z"}
    {"table":"series","columns":["checked_at","interval","pair","revision"]}
    [1792843200,"1d","BTC-BRL",1879892243251200123]
    …
    {"end":{"rows":{"series":2, …},"sha256":"…"}}

Tables stand after those that they refer to. `zcat FILE | head` shows a file to people.

Version 1, which program 0.1.0 wrote, has a hash for each table in its last line and is read as well: there
gzip's own checksum answers for the bytes, and the last line for the number of rows.
"""

from __future__ import annotations

import gzip
import json
import os
import secrets
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

from app.core.errors import ConfigurationError, StoreUnusable
from app.db.content import BLOCK, Block, Content, Tally, line_of, table_line
from app.db.schema import HEAD

FORMAT: Final = "mms-backup"
VERSION: Final = 2

_LONGEST_LINE: Final = 1_000_000
_EFFORT: Final = 3
"""Of gzip. Prices are random digits: more effort takes much longer and makes little smaller."""

_UNREADABLE: Final = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
"""What comes of a line that is another kind of JSON, or none."""


class Writer:
    """Writes one backup, from its first line to its last."""

    def __init__(self, out: gzip.GzipFile, schema: str, now: float) -> None:
        self._out = out
        self._tally = Tally(schema)
        created_at = f"{datetime.fromtimestamp(int(now), UTC):%Y-%m-%dT%H:%M:%SZ}"
        head = {"format": FORMAT, "version": VERSION, "schema": schema, "created_at": created_at}
        out.write(line_of(head))

    def table(self, name: str, columns: list[str], blocks: Iterable[list[bytes]]) -> None:
        """Write one whole table."""
        line = table_line(name, columns)
        self._tally.begin(name, line)
        self._out.write(line)
        for lines in blocks:
            self._tally.add(lines)
            self._out.write(b"".join(lines))

    def end(self) -> Content:
        """Write the last line."""
        content = self._tally.content()
        self._out.write(line_of({"end": {"rows": content.rows, "sha256": content.sha256}}))
        return content


@contextmanager
def writing(file: Path, schema: str, now: float) -> Iterator[Writer]:
    """A backup that appears under its name once it is complete, and not at all otherwise.

    An earlier backup of that name is replaced. Raises StoreUnusable and ConfigurationError where
    something else is there, or no folder, OSError where nothing can be written.
    """
    if not file.parent.is_dir():
        raise ConfigurationError(f"{file}: there is no folder {file.parent}; make it first")
    if file.exists():
        with reading(file):
            pass
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


@contextmanager
def reading(file: Path) -> Iterator[tuple[str, Iterator[Block | Content]]]:
    """The version of the schema that a backup is at, and what it holds, to be taken once.

    Each table begins with a block without rows. The Content comes last: with it the file is known to be
    complete and unchanged. Raises StoreUnusable where it is not, perhaps only then, and where it is
    foreign or of a newer program; ConfigurationError where there is no such file.
    """
    with closing(_lines(file)) as lines:
        version, schema = _head(file, next(lines, b""))
        yield schema, _parts(file, version, schema, lines)


def _parts(
    file: Path, version: int, schema: str, lines: Iterator[bytes]
) -> Iterator[Block | Content]:
    tally, name, columns = Tally(schema), "", None
    runs = groupby(lines, lambda line: line.startswith(b"["))
    for are_rows, run in runs:
        while are_rows and (block := list(islice(run, BLOCK))):
            tally.add(block)
            yield Block(name, columns, block)
        for line in run:
            said = _read(file, line)
            if "table" in said:
                name, columns = str(said["table"]), said.get("columns")
                tally.begin(name, line)
                yield Block(name, columns, [])
                continue
            content = tally.content()
            if not _agree(version, said.get("end"), content):
                raise _damaged(file, "its rows are not those that were written")
            if next(run, None) or next(runs, None):
                raise _damaged(file, "it goes on after its end")
            yield content
            return
    raise _damaged(file, "its end is missing")


def _agree(version: int, end: Any, content: Content) -> bool:
    try:
        if version == 1:
            return {name: of["rows"] for name, of in end["tables"].items()} == content.rows
        return bool(end["sha256"] == content.sha256)
    except _UNREADABLE:
        return False


def _lines(file: Path) -> Generator[bytes, None, None]:
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


def _head(file: Path, line: bytes) -> tuple[int, str]:
    """The version of the format, and the schema's that the tables are at."""
    try:
        said = json.loads(line)
        form, version, schema = said["format"], int(said["version"]), str(said["schema"])
    except _UNREADABLE as error:
        raise _foreign(file) from error
    if form != FORMAT:
        raise _foreign(file)
    if version > VERSION or schema > HEAD:
        raise StoreUnusable(
            f"{file} was made by a newer program (format {version}, schema {schema!r}; this one knows "
            f"{VERSION} and {HEAD}): restore it with that one; nothing was changed"
        )
    return version, schema


def _read(file: Path, line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except _UNREADABLE as error:
        raise _damaged(file, "a line of it cannot be read") from error


def _foreign(file: Path) -> StoreUnusable:
    return StoreUnusable(f"{file} is no backup of this program; nothing was changed")


def _damaged(file: Path, how: str) -> StoreUnusable:
    return StoreUnusable(f"{file} is damaged ({how}): use another backup; nothing was changed")
