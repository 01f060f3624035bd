"""Write the rows of a series in the formats that clients ask for, to the last digit.

A row is a bucket (unix seconds) and its numbers, each in 1e-8 or as decimal text, None where there
is none. JSON and NDJSON have null for None, CSV an empty cell. Every body ends with a line feed.

CSV is that of RFC 4180 with a header row, but with line feeds alone: shell tools would take a
carriage return for a part of the last cell. No cell needs quotes, because each is a number or a
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple

from app.core.market import Exact
from app.domain.fixed_point import text
from app.domain.times import iso

STAMP: Final = "timestamp"
"""The name of the first column."""

Row = tuple[int, *tuple[Exact | None, ...]]


class Format(Enum):
    """A format of rows; the value is its name in requests."""

    JSON = "json"
    CSV = "csv"
    NDJSON = "ndjson"
    COLUMNS = "columns"


class Layout(NamedTuple):
    """A format, and for CSV how it writes times and numbers.

    With `iso_times` a bucket is `2024-03-29T00:00:00Z` instead of unix seconds. With
    `decimal_comma` numbers have a comma and cells are parted by semicolons, as Brazil writes them.
    """

    format: Format = Format.JSON
    iso_times: bool = False
    decimal_comma: bool = False


PLAIN: Final = Layout()


def table(names: Sequence[str], rows: Iterable[Row], layout: Layout = PLAIN) -> bytes:
    """Write rows in their order; `names` are those of the columns after STAMP.

    COLUMNS is one JSON object with an array for each column.
    """
    match layout.format:
        case Format.JSON:
            body = f"[{','.join(_objects(names, rows))}]\n"
        case Format.NDJSON:
            body = "".join([f"{each}\n" for each in _objects(names, rows)])
        case Format.CSV:
            body = "".join([f"{line}\n" for line in _lines(names, rows, layout)])
        case _:  # Format.COLUMNS
            body = f"{{{','.join(_arrays(names, rows))}}}\n"
    return body.encode("ascii")


def _objects(names: Sequence[str], rows: Iterable[Row]) -> list[str]:
    members = "".join(f',"{name}":%s' for name in names)
    pattern = f'{{"{STAMP}":%d{members}}}'
    return [pattern % (bucket, *map(_number, numbers)) for bucket, *numbers in rows]


def _arrays(names: Sequence[str], rows: Iterable[Row]) -> list[str]:
    stamps, *numbers = list(zip(*rows, strict=True)) or [()] * (len(names) + 1)
    columns = [map(str, stamps), *(map(_number, column) for column in numbers)]
    return [
        f'"{name}":[{",".join(column)}]'
        for name, column in zip((STAMP, *names), columns, strict=True)
    ]


def _lines(names: Sequence[str], rows: Iterable[Row], layout: Layout) -> Iterator[str]:
    separator = ";" if layout.decimal_comma else ","
    time = iso if layout.iso_times else str
    number = _with_comma if layout.decimal_comma else _cell
    yield separator.join((STAMP, *names))
    for bucket, *numbers in rows:
        yield separator.join((time(bucket), *map(number, numbers)))


def _number(value: Exact | None) -> str:
    return "null" if value is None else text(value)


def _cell(value: Exact | None) -> str:
    return "" if value is None else text(value)


def _with_comma(value: Exact | None) -> str:
    return _cell(value).replace(".", ",")
