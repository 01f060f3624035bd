"""Rows of a series in each format."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.core.market import Exact
from app.domain.fixed_point import as_decimal
from app.domain.tables import Format, Layout, Row, table
from app.domain.times import iso

PRICE = st.integers(0, 2**63 - 1)
TEXT = st.builds("{}.{}".format, st.integers(10**11, 10**40 - 1), st.integers(1, 9))
CELL = PRICE | TEXT | st.none()
NAMES = ("close", "volume", "mms_20")
ROWS = st.lists(st.tuples(st.integers(0, 2**33), CELL, CELL, CELL), max_size=5)

TWO: Sequence[Row] = [(60, 1, 31_40281734, None), (120, 262_064 * 10**8, None, 19_366_952_350_168)]


def test_each_format_has_its_shape() -> None:
    written = {each: table(NAMES, TWO, Layout(each)).decode() for each in Format}
    assert written == {
        Format.JSON: (
            '[{"timestamp":60,"close":0.00000001,"volume":31.40281734,"mms_20":null},'
            '{"timestamp":120,"close":262064.0,"volume":null,"mms_20":193669.52350168}]\n'
        ),
        Format.NDJSON: (
            '{"timestamp":60,"close":0.00000001,"volume":31.40281734,"mms_20":null}\n'
            '{"timestamp":120,"close":262064.0,"volume":null,"mms_20":193669.52350168}\n'
        ),
        Format.COLUMNS: (
            '{"timestamp":[60,120],"close":[0.00000001,262064.0],"volume":[31.40281734,null],'
            '"mms_20":[null,193669.52350168]}\n'
        ),
        Format.CSV: (
            "timestamp,close,volume,mms_20\n"
            "60,0.00000001,31.40281734,\n"
            "120,262064.0,,193669.52350168\n"
        ),
    }


def test_csv_writes_times_and_numbers_as_a_spreadsheet_reads_them() -> None:
    brazil = Layout(Format.CSV, iso_times=True, decimal_comma=True)
    assert table(NAMES, TWO, brazil).decode() == (
        "timestamp;close;volume;mms_20\n"
        "1970-01-01T00:01:00Z;0,00000001;31,40281734;\n"
        "1970-01-01T00:02:00Z;262064,0;;193669,52350168\n"
    )


def test_without_rows_a_table_still_has_its_columns() -> None:
    written = {each: table(NAMES, [], Layout(each)) for each in Format}
    assert written == {
        Format.JSON: b"[]\n",
        Format.NDJSON: b"",
        Format.CSV: b"timestamp,close,volume,mms_20\n",
        Format.COLUMNS: b'{"timestamp":[],"close":[],"volume":[],"mms_20":[]}\n',
    }


@given(ROWS, st.booleans(), st.booleans())
def test_every_format_is_read_back_to_the_last_digit(
    rows: list[tuple[int, Exact | None, Exact | None, Exact | None]], times: bool, comma: bool
) -> None:
    numbers = [[None if cell is None else as_decimal(cell) for cell in row[1:]] for row in rows]
    objects = [
        dict(zip(("timestamp", *NAMES), (row[0], *cells), strict=True))
        for row, cells in zip(rows, numbers, strict=True)
    ]

    def read(text: bytes) -> object:
        return json.loads(text, parse_float=Decimal)

    assert read(table(NAMES, rows)) == objects
    lines = table(NAMES, rows, Layout(Format.NDJSON)).splitlines()
    assert [read(line) for line in lines] == objects
    columns = {name: [each[name] for each in objects] for name in ("timestamp", *NAMES)}
    assert read(table(NAMES, rows, Layout(Format.COLUMNS))) == columns

    sheet = table(NAMES, rows, Layout(Format.CSV, times, comma)).decode()
    head, *cells = csv.reader(sheet.splitlines(), delimiter=";" if comma else ",")
    assert head == ["timestamp", *NAMES]
    assert [line[0] for line in cells] == [iso(r[0]) if times else str(r[0]) for r in rows]
    assert [
        [Decimal(cell.replace(",", ".")) if cell else None for cell in line[1:]] for line in cells
    ] == numbers
