"""Averages that others published, reproduced at the precision they printed."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import numpy as np
import pytest

from app.domain.averages import moving_averages
from app.domain.fixed_point import SCALE, exact


def averages(texts: Iterable[str], window: int) -> list[Decimal | None]:
    """The averages of consecutive buckets with these closes."""
    closes = np.asarray([exact(f"{Decimal(text):.8f}") for text in texts], dtype=np.int64)
    buckets = np.arange(len(closes), dtype=np.int64) * 60
    values, exists = moving_averages(buckets, closes, 60, (window,))
    return [
        Decimal(int(value)) / SCALE if there else None
        for value, there in zip(values[0], exists[0], strict=True)
    ]


def agree(found: Decimal | None, printed: str) -> bool:
    """Whether the printed number is ours to half a unit of its last place; empty means absent."""
    if not printed or found is None:
        return not printed and found is None
    unit = Decimal(1).scaleb(Decimal(printed).as_tuple().exponent)  # type: ignore[arg-type] # a number: finite
    return abs(found - Decimal(printed)) <= unit / 2


def table(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_ta_libs_test_values(recordings: Path) -> None:
    closes = [row["close"] for row in table(recordings / "sma_oracle/talib_close252_input.csv")]
    expected = table(recordings / "sma_oracle/talib_close252_expected.csv")
    assert len(expected) == 14
    for row in expected:
        found = averages(closes, int(row["window"]))
        value = found[int(row["index0"])]
        # TA-Lib's table prints two places and cuts the rest off: 93.1575 stands there as 93.15.
        assert value is not None
        assert value.quantize(Decimal("0.01"), ROUND_DOWN) == Decimal(row["expected"]), row
        first = next(index for index, value in enumerate(found) if value is not None)
        assert first == int(row["first_valid_index0"])


def test_skenders_spreadsheet(recordings: Path) -> None:
    rows = table(recordings / "sma_oracle/skender_default_spy_sma20.csv")
    found = averages((row["close"] for row in rows), 20)
    assert sum(value is not None for value in found) == len(rows) - 19
    for value, row in zip(found, rows, strict=True):
        assert agree(value, row["sma20"]), row


@pytest.mark.parametrize("field", ["close", "open", "volume"])
def test_skenders_spot_values(recordings: Path, field: str) -> None:
    rows = table(recordings / "sma_oracle/skender_default_spy_sma20.csv")
    spots = table(recordings / "sma_oracle/skender_default_spot_values.csv")
    wanted = [row for row in spots if row["field"] == field]
    assert wanted
    for row in wanted:
        found = averages((line[field] for line in rows), int(row["window"]))
        assert agree(found[int(row["index0"])], row["expected"]), row


def test_skenders_series_of_zeros(recordings: Path) -> None:
    rows = table(recordings / "sma_oracle/input_skender_zeros.csv")
    assert set(averages((row["close"] for row in rows), 20)[19:]) == {Decimal(0)}


def test_tulips_and_jesses_small_cases(recordings: Path) -> None:
    rows = table(recordings / "sma_oracle/small_cases_tulip_jesse.csv")
    cases = {row["case"] for row in rows}
    assert cases == {"untest", "atoz_p207", "jesse_stockcharts"}
    for case in cases:
        lines = [row for row in rows if row["case"] == case]
        found = averages((row["value"] for row in lines), int(lines[0]["window"]))
        for value, row in zip(found, lines, strict=True):
            assert agree(value, row["expected_sma"]), row
