"""`make sheet-check`: open the API's CSV in LibreOffice, and compare every cell with the JSON.

A server is started on candles whose numbers are as different as they can be. A client without
headers, as a spreadsheet is one, fetches them in each locale. LibreOffice converts each file as its
import dialog would, with the choices that docs/api.md names.

Exit 0 when everything holds, 1 when something does not, 3 when it cannot be tried here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from app.domain.times import iso
from checks import commands, tools
from checks.commands import CommandFailedError
from checks.report import FAILED, NOT_RUN, CannotCheckError, Report
from tests.support.served import api
from tests.support.varied_candles import store_varied_candles

PROGRAM: Final = "soffice"
READ: Final = "/BRLBTC/candles{form}?windows=20,50,200"

OPTIONS: Final = {"en": "44,34,76,1,,1033", "pt-BR": "59,34,76,1,,1046"}
"""What LibreOffice's CSV filter is told, by locale.

Separator, quotation mark, UTF-8, first line, no choice for single columns, and the language.
"""

FORMULA: Final = "=VALUE(LEFT(A1;19))"
"""Makes a moment of the text of a time, in days since 1899-12-30; docs/api.md names it."""
_DAYS_BEFORE_1970: Final = 25_569

_OFFICE: Final = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE: Final = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT: Final = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"

Record = Mapping[str, float | None]
"""A row of the JSON, by column."""


class Cell(NamedTuple):
    """A cell of a sheet: `float`, `date`, `string` or empty, and its value as the file has it."""

    kind: str
    value: str


Sheet = list[list[Cell]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.sheet",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--install", action="store_true", help="install LibreOffice Calc from Debian, as root"
    )
    options = parser.parse_args(argv)
    report = Report("sheet-check")
    try:
        tools.need([PROGRAM], install=options.install)
        with tempfile.TemporaryDirectory(prefix="sheet-") as folder:
            _check(Path(folder), report)
    except CannotCheckError as error:
        sys.stderr.write(f"sheet-check: cannot be made here: {error}\n")
        return NOT_RUN
    except (CommandFailedError, OSError, HTTPException) as error:
        report.check("the check itself", False, error)
        return FAILED
    return report.finish()


def _check(folder: Path, report: Report) -> None:
    report.section(commands.must([PROGRAM, "--version"]).strip())
    url = f"sqlite:///{folder / 'mms.db'}"
    store_varied_candles(url)
    with api(folder, "api", DB_URL=url) as served, closing(served.connect()) as connection:
        records = json.loads(_fetch(connection, READ.format(form="")))
        for locale, options in OPTIONS.items():
            target = f"{READ.format(form='.csv')}&time=iso&locale={locale}"
            sheet = convert(folder, _fetch(connection, target), options)
            report.section(f"{target}, opened with {options}")
            _compare(records, sheet, report)
    report.section("The formula that makes a moment of a time")
    for locale in OPTIONS:
        _formula(folder, locale, report)


def _fetch(connection: HTTPConnection, target: str) -> bytes:
    """GET with no header but Host. Raises CommandFailedError where the reply is no 200."""
    connection.putrequest("GET", target, skip_accept_encoding=True)
    connection.endheaders()
    reply = connection.getresponse()
    body = reply.read()
    if reply.status != 200:
        raise CommandFailedError(f"GET {target} was answered with {reply.status}: {body!r}")
    return body


def convert(folder: Path, text: bytes, options: str) -> Sheet:
    """Open CSV in LibreOffice, with these options of its filter, and read what it makes of it."""
    (folder / "table.csv").write_bytes(text)
    sheet = folder / "table.fods"
    sheet.unlink(missing_ok=True)
    command = [
        PROGRAM,
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        f"--infilter=CSV:{options}",
        *("--convert-to", "fods"),
        *("--outdir", str(folder)),
        str(folder / "table.csv"),
    ]
    done = commands.run(command, timeout=300.0)
    if not sheet.exists():  # the exit code is 0 then, too
        raise CommandFailedError(f"LibreOffice wrote no sheet:\n{done.text.strip()}")
    return read_sheet(sheet.read_bytes())


def read_sheet(document: bytes) -> Sheet:
    """Read the rows of a flat OpenDocument sheet."""
    root = ElementTree.fromstring(document)  # noqa: S314 - LibreOffice wrote it just now
    return [list(_cells(row)) for row in root.iter(f"{_TABLE}table-row")]


def _cells(row: ElementTree.Element) -> Iterator[Cell]:
    for cell in row.iter(f"{_TABLE}table-cell"):
        kind = cell.get(f"{_OFFICE}value-type", "")
        text = "".join(part for each in cell.iter(f"{_TEXT}p") for part in each.itertext())
        value = cell.get(f"{_OFFICE}value") or cell.get(f"{_OFFICE}date-value") or text
        # Equal neighbours are written once.
        for _ in range(int(cell.get(f"{_TABLE}number-columns-repeated", "1"))):
            yield Cell(kind, value)


def _compare(records: Sequence[Record], sheet: Sheet, report: Report) -> None:
    names, rows = list(records[0]), sheet[1:]
    header = [cell.value for cell in sheet[0]]
    report.equal("header row", header, names)
    report.equal("rows", len(rows), len(records))
    problems = differences(records, rows)
    numbers = sum(value is not None for record in records for value in record.values())
    report.check(
        "numbers, and holes that are empty",
        not problems,
        "; ".join(problems[:5]) or f"{numbers - len(records)} numbers, to 15 digits",
    )
    kinds = {row[0].kind for row in rows}
    good = [row[0] for row in rows] in ([time(record) for record in records] for time in _TIMES)
    report.check("times are text or dates", good, f"{len(rows)} times, each a {'/'.join(kinds)}")


def _as_text(record: Record) -> Cell:
    return Cell("string", iso(int(record["timestamp"] or 0)))


def _as_date(record: Record) -> Cell:
    """What a midnight is where LibreOffice takes it for a date. Version 7.4 does not, for its Z."""
    return Cell("date", iso(int(record["timestamp"] or 0)).partition("T")[0])


_TIMES: Final = (_as_text, _as_date)


def differences(records: Sequence[Record], rows: Sheet) -> list[str]:
    """Where a cell of a number is none, or is another number, or a hole is not empty.

    A file of LibreOffice has 15 digits of a number, rounded. The time, in the first column, is left
    out.
    """
    problems = []
    for record, row in zip(records, rows, strict=False):
        for (name, value), cell in [*zip(record.items(), row, strict=False)][1:]:
            if not _equal(cell, value):
                problems.append(f"{name} of {record['timestamp']}: {value}, but {tuple(cell)}")
        problems += [f"{record['timestamp']} has {len(row)} cells"] * (len(row) != len(record))
    return problems


def _equal(cell: Cell, value: float | None) -> bool:
    if value is None:
        return cell == Cell("", "")
    exact = Decimal(repr(value))
    unit = Decimal(1).scaleb(exact.adjusted() - 14)
    return cell.kind == "float" and abs(Decimal(cell.value) - exact) <= unit / 2


def _formula(folder: Path, locale: str, report: Report) -> None:
    """Have LibreOffice compute the formula beside a time."""
    moment = 1_744_180_200
    # Functions part their arguments by semicolons, so that these part the cells as well.
    options = OPTIONS[locale].replace("44", "59", 1)
    ((time, cell),) = convert(folder, f'{iso(moment)};"{FORMULA}"\n'.encode(), options)
    if time.kind == "date":
        report.note(f"{locale}: a time is a date without it")
        return
    days = moment / 86_400 + _DAYS_BEFORE_1970
    good = cell.kind in ("float", "date") and math.isclose(float(cell.value), days, rel_tol=1e-14)
    report.check(f"{FORMULA}, {locale}", good, f"{iso(moment)} is {cell.value}")


if __name__ == "__main__":
    sys.exit(main())
