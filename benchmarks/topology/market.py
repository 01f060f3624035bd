"""A market whose days come out one by one, and what is right to answer after each.

The stand-in exchange hides the newest days. Each `advance` shows one more and changes the candle of
the day before. The right bodies of each version are computed here from the exchange's own decimals,
in whole numbers, without the code that stores, averages and renders.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from app.core.market import DAY as SECONDS
from app.core.market import WARM_UP, Interval, Pair, Series
from app.sandbox.book import Bar
from app.sandbox.exchange import Exchange
from benchmarks.reliability.content import Mean, Row, recomputed
from benchmarks.reliability.rig import BTC, ETH

DAY: Final = Interval.DAY
PAIRS: Final = (BTC, ETH)
HISTORY: Final = 365
AHEAD: Final = 60
"""Days that are hidden at first: the most versions that a drill can have after the first."""


@dataclass(frozen=True)
class Version:
    """One state of a series: its rows with their averages, ascending."""

    rows: tuple[Row, ...]

    def averages(self, window: int) -> bytes:
        """The body of a read of one window over all of the rows' days."""
        column = f"mms_{window}"
        values = [(row.bucket, getattr(row, column)) for row in self.rows]
        points = [
            f'{{"timestamp":{bucket},"mms":{_number(value)}}}'
            for bucket, value in values
            if value is not None
        ]
        return f"[{','.join(points)}]\n".encode()

    def candles(self) -> bytes:
        """The body of a read of all candles with all averages."""
        return f"[{','.join(map(_candle, self.rows))}]\n".encode()


class Market:
    """What the exchange has shown so far. `versions` are the states of each pair, by newest day."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.today = DAY.last_closed(time.time())
        self.first = self.today - (HISTORY - 1 + WARM_UP) * SECONDS
        self.newest = self.today - AHEAD * SECONDS
        self.versions: dict[Pair, dict[int, Version]] = {pair: {} for pair in PAIRS}
        self._bars = {pair: self._simulated(pair) for pair in PAIRS}
        for pair in PAIRS:
            for day in range(self.newest + SECONDS, self.today + SECONDS, SECONDS):
                exchange.book.remove(pair, (day, day + SECONDS))
        self._note()

    @property
    def hidden(self) -> int:
        """How many days have not come out yet."""
        return (self.today - self.newest) // SECONDS

    def advance(self) -> int:
        """Let the next day out and change the one before; returns the newest day."""
        assert self.hidden, "a drill has no more versions than days were hidden"
        before, self.newest = self.newest, self.newest + SECONDS
        for pair in PAIRS:
            self._exchange.book.restore(pair, (self.newest, self.newest + SECONDS))
            bar = self._bars[pair][before]
            # The opening price instead, or the highest: it stays a candle.
            close = bar.open if bar.open != bar.close else bar.high
            bar = self._bars[pair][before] = replace(bar, close=close)
            self._exchange.book.replace(Series(pair, DAY), [bar])
        self._note()
        return self.newest

    def _note(self) -> None:
        for pair in PAIRS:
            bars = self._bars[pair].values()
            rows = [_row(bar) for bar in bars if bar.stamp <= self.newest]
            means = recomputed(rows, SECONDS)
            complete = tuple(
                row._replace(mms_20=averages[0], mms_50=averages[1], mms_200=averages[2])
                for row, averages in zip(rows, means, strict=True)
            )
            self.versions[pair][self.newest] = Version(complete)

    def _simulated(self, pair: Pair) -> dict[int, Bar]:
        now = time.time()
        bars = self._exchange.book.candles(Series(pair, DAY), self.first, self.today, now)
        return {bar.stamp: bar for bar in bars}


def _row(bar: Bar) -> Row:
    assert isinstance(bar.volume, Decimal), "the simulation has volumes"
    prices = (_whole(bar.open), _whole(bar.high), _whole(bar.low), _whole(bar.close))
    return Row(bar.stamp, *prices, _whole(bar.volume), bar.stamp, None, None, None)


def _whole(number: Decimal) -> int:
    return int(number.scaleb(8))


def _candle(row: Row) -> str:
    names = ("open", "high", "low", "close", "volume", "mms_20", "mms_50", "mms_200")
    values = ",".join(f'"{name}":{_number(getattr(row, name))}' for name in names)
    return f'{{"timestamp":{row.bucket},{values}}}'


def _number(value: Mean) -> str:
    if value is None:
        return "null"
    text = f"{Decimal(value).scaleb(-8):f}".rstrip("0")
    return text + "0" * text.endswith(".")
