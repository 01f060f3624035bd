"""What the check of LibreOffice reads from a sheet, and what it notices."""

from __future__ import annotations

import pytest

from checks.report import NOT_RUN
from checks.sheet import Cell, Record, differences, main, read_sheet

SHEET = """<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
    xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">
  <table:table-row>
    <table:table-cell office:value-type="string"><text:p>2024-03-29T00:00:00Z</text:p>
    </table:table-cell>
    <table:table-cell office:value-type="float" office:value="461168601.842739"
      table:number-columns-repeated="2"><text:p>461168601,84</text:p></table:table-cell>
    <table:table-cell/>
  </table:table-row>
</office:document>"""
TIME = Cell("string", "2024-03-29T00:00:00Z")
HOLE = Cell("", "")
ROW: Record = {"timestamp": 1, "open": 461168601.84273879, "close": 461168601.84273879, "mms": None}


def number(text: str) -> Cell:
    return Cell("float", text)


def test_a_sheet_is_read_with_every_equal_neighbour() -> None:
    value = number("461168601.842739")
    assert read_sheet(SHEET.encode()) == [[TIME, value, value, HOLE]]
    assert differences([ROW], read_sheet(SHEET.encode())) == []


@pytest.mark.parametrize(
    "cells",
    [
        [number("461168601.842738"), HOLE],
        [Cell("string", "461168601.84273879"), HOLE],
        [HOLE, HOLE],
        [number("461168601.842739"), number("0")],
        [number("461168601.842739")],
    ],
)
def test_a_cell_that_is_not_the_value_is_noticed(cells: list[Cell]) -> None:
    row = [TIME, number("461168601.842739"), *cells]
    assert len(differences([ROW], [row])) == 1


def test_without_libreoffice_nothing_is_proved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main([]) == NOT_RUN
    assert "libreoffice-calc" in capsys.readouterr().err
