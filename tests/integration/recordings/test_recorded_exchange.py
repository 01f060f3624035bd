"""Recorded candles, through the real loader over real HTTP, against independent averages."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from app.bootstrap import Runtime, for_command, open_candle_source
from app.core.market import WINDOWS, Interval, Series
from app.core.settings import load_settings
from app.domain.candles import UNCERTAIN
from app.domain.fixed_point import SCALE, exact
from app.sandbox.options import build_exchange, parser
from app.sandbox.server import serve
from app.services.loading import LoadReport
from app.sources.local_rate_limiter import LocalRateLimiter
from tests.support.candles import BTC
from tests.support.loads import initial

REPLY = "mb_api/legacy_v4_candle_BRLBTC_1d_2022-01-02_2024-03.raw.json"
ORACLE = "sma_oracle/exact/BRLBTC_1d.csv"
MINUTES = "mb_api/dev_v4_candles_BTC-BRL_1m_to_2024-08-31.csv.gz"

FORMATS = ["mercado_bitcoin", "mercado_bitcoin_legacy"]


@contextmanager
def exchange_and_service(
    db_url: str, arguments: list[str], candle_source: str, **settings: object
) -> Iterator[Runtime]:
    """A sandbox exchange on a port, and our service pointed at it."""
    exchange = build_exchange(parser().parse_args(arguments), time.time)
    with serve(exchange) as url:
        made = for_command(
            load_settings(
                None,
                db_url=db_url,
                candle_source=candle_source,
                mb_api_base_url=f"{url}/api/v4",
                mb_legacy_api_base_url=f"{url}/v4",
                mb_requests_per_second=10_000,
                **settings,
            )
        )
        try:
            yield made
        finally:
            made.close()


def load_into(made: Runtime, interval: Interval, days: int) -> LoadReport:
    """One initial load over HTTP."""
    with open_candle_source(made.settings, LocalRateLimiter, made.clock) as source:
        series = Series(BTC, interval)
        return initial(made.series, source, made.clock, history_days=days, series=series)


def stored(made: Runtime, interval: Interval = Interval.DAY) -> dict[int, tuple[int | None, ...]]:
    """The stored averages by bucket."""
    rows = made.series.rows(Series(BTC, interval), 0, 2**40)[1]
    return {candle.bucket: averages.values for candle, averages in rows}


def at_eight_places(text: str) -> int | None:
    """An oracle's number with 12 places as fixed point, half to even; None for an empty cell."""
    if not text:
        return None
    return int((Decimal(text) * SCALE).to_integral_value(ROUND_HALF_EVEN))


@pytest.mark.parametrize("candle_source", FORMATS)
def test_every_recorded_day_has_exactly_the_averages_of_the_oracle(
    db_url: str, recordings: Path, candle_source: str
) -> None:
    with exchange_and_service(db_url, ["--replay", str(recordings / REPLY)], candle_source) as made:
        report = load_into(made, Interval.DAY, 5000)
        found = stored(made)
    assert report.inserted == 818
    with (recordings / ORACLE).open() as file:
        oracle = {int(row["timestamp"]): row for row in csv.DictReader(file)}
    assert len(found) == 818
    unfinished = set(oracle) - set(found)
    assert unfinished <= {1711756800}
    assert max(found) == 1711670400
    for bucket, values in found.items():
        wanted = tuple(at_eight_places(oracle[bucket][f"sma{n}_calendar"]) for n in WINDOWS)
        assert values == wanted
    assert found[1711670400] == tuple(
        exact(text) for text in ("344013.01851597", "306486.96789567", "213766.24858920")
    )


def test_a_pair_priced_above_three_million_is_exact(
    sqlite_url: str, recordings: Path, tmp_path: Path
) -> None:
    reply = json.loads((recordings / REPLY).read_text(), parse_float=str, parse_int=str)
    rows = reply["candles"][:-1]
    dear = tmp_path / "dear.csv"
    names = ("timestamp", "open", "high", "low", "close", "volume")
    lines = [
        ",".join(
            str(Decimal(row[name]) * 11) if name not in ("timestamp", "volume") else row[name]
            for name in names
        )
        for row in rows
    ]
    dear.write_text("\n".join([",".join(names), *lines]) + "\n")
    closes = [exact(str(Decimal(row["close"]) * 11)) for row in rows]
    assert max(closes) > 3_000_000 * SCALE
    with exchange_and_service(sqlite_url, ["--replay", str(dear)], FORMATS[0]) as made:
        load_into(made, Interval.DAY, 5000)
        found = list(stored(made).values())
    for index, values in enumerate(found):
        assert values == tuple(
            round(Fraction(sum(closes[index + 1 - n : index + 1]), n)) if index + 1 >= n else None
            for n in WINDOWS
        )


def test_only_windows_without_a_missing_minute_have_an_average(
    sqlite_url: str, recordings: Path
) -> None:
    with gzip.open(recordings / MINUTES, "rt") as file:
        closes = {int(row["t"]): exact(row["c"]) for row in csv.DictReader(file)}
    newest = max(closes)
    arguments = ["--replay", str(recordings / MINUTES), "--now", str(newest + 60 + UNCERTAIN)]
    with exchange_and_service(sqlite_url, arguments, FORMATS[0], intervals="1m") as made:
        clocked = Runtime(**{**vars(made), "clock": lambda: newest + 60.0 + UNCERTAIN})
        load_into(clocked, Interval.MINUTE, 8)
        found = stored(clocked, Interval.MINUTE)
    assert set(found) == set(closes)
    whole = dict.fromkeys(WINDOWS, 0)
    for bucket, values in found.items():
        for window, value in zip(WINDOWS, values, strict=True):
            needed = [closes.get(bucket - 60 * back) for back in range(window)]
            there = [close for close in needed if close is not None]
            wanted = round(Fraction(sum(there), window)) if len(there) == window else None
            assert value == wanted
            whole[window] += wanted is not None
    assert whole[20] > whole[50] > 0
    assert whole[20] < len(closes)


def test_a_recording_moved_to_yesterday_is_current(sqlite_url: str, recordings: Path) -> None:
    arguments = ["--replay", str(recordings / REPLY), "--shift-to-yesterday"]
    with exchange_and_service(sqlite_url, arguments, FORMATS[0]) as made:
        now = made.clock()
        load_into(made, Interval.DAY, 365)
        found = stored(made)
    assert max(found) == Interval.DAY.last_closed(now)
    assert len(found) == 365 + 199
