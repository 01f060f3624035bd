"""A simulated market with a seed: any candle of any pair, computed from (seed, pair, bucket).

The price is a function of the minute: base × exp(several octaves of value noise), each octave a
smooth curve through hashed values on its own grid. So a candle does not depend on the time of the
request, nor on earlier requests. Longer candles are the exact aggregate of their traded minutes.

Only operations that IEEE 754 rounds in one way are used (no library exponential). So every machine
and every array length gives the same prices to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.core.market import DAY, OLDEST_BUCKET, Pair, Series
from app.domain.fixed_point import PLACES, SCALE
from app.sandbox.book import Bar

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]

BASE_PRICES: Final[Mapping[Pair, Decimal]] = {
    Pair("BTC", "BRL"): Decimal(600_000),
    Pair("ETH", "BRL"): Decimal(20_000),
    Pair("SOL", "BRL"): Decimal(900),
    Pair("DOT", "BRL"): Decimal(25),
    Pair("USDT", "BRL"): Decimal("5.5"),
    Pair("ADA", "BRL"): Decimal("3.5"),
}
"""The usual pairs, each with the price that its curve stays around."""

_MINUTE: Final = 60
_MINUTES: Final = DAY // _MINUTE
_BATCH_DAYS: Final = 32  # arrays of this many days stay in the processor's cache
_DAY_OCTAVES: Final = ((512, 0.40), (128, 0.22), (32, 0.12), (8, 0.06), (2, 0.03))
_MINUTE_OCTAVES: Final = ((360, 0.012), (60, 0.005), (15, 0.002))  # each divides a day
_BOUNCE: Final = 0.0008  # how far a minute's trades stray from the curve
_QUIET: Final = 0.04  # share of the minutes without a trade
_FINE: Final = 0.30  # share of the minutes whose prices use all eight places
_TURNOVER: Final = 12_000.0  # most traded in a minute, in the quote currency
_GOLDEN: Final = 0x9E3779B97F4A7C15
_NEVER: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Columns:
    """Candles as columns of 1e-8; in a quiet bucket high and volume are 0 and low is `_NEVER`."""

    traded: Flags
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints


class Simulation:
    """A simulated market of `pairs`, each with the price that its curve stays around.

    None means the pair's usual price, or an invented one. Other prices must lie between 0.01 and
    100,000,000: there every price and every day's volume fits 64-bit fixed point.
    """

    def __init__(self, seed: int, pairs: Mapping[Pair, Decimal | None] = BASE_PRICES) -> None:
        self._seed = seed
        self._base = {
            pair: BASE_PRICES.get(pair, self._invented_base(pair)) if price is None else price
            for pair, price in pairs.items()
        }
        self.pairs = tuple(self._base)

    def candles(self, series: Series, first: int, last: int, now: float) -> Sequence[Bar]:
        """The simulated candles with stamps in [first, last]; the running one ends with `now`."""
        interval = series.interval
        low = interval.ceil(max(first, OLDEST_BUCKET))
        high = interval.floor(min(last, now))
        if low > high:
            return []
        first_day, last_day = low // DAY, high // DAY
        bars: list[Bar] = []
        for day in range(first_day, last_day + 1, _BATCH_DAYS):
            days = np.arange(day, min(day + _BATCH_DAYS, last_day + 1), dtype=np.int64)
            candles = _aggregate(self._minutes(series.pair, days, now), interval.seconds // _MINUTE)
            stamps = day * DAY + np.arange(candles.traded.size) * interval.seconds
            bars += _bars(stamps, candles, candles.traded & (low <= stamps) & (stamps <= high))
        return bars

    def _minutes(self, pair: Pair, days: Ints, now: float) -> _Columns:
        """Every minute of `days` as (day, minute) columns; the minute of `now` has just begun."""
        centre = self._curve(pair, days)
        number = days[:, None] * _MINUTES + np.arange(_MINUTES)
        shape = _fields(self._key(pair, "shape"), number)
        trade = _fields(self._key(pair, "trade"), number)

        start = centre * (1.0 + _BOUNCE * (shape[0] - 0.5))
        end = centre * (1.0 + _BOUNCE * (shape[1] - 0.5))
        top = np.maximum(start, end) * (1.0 + _BOUNCE * shape[2] * shape[2])
        bottom = np.minimum(start, end) * (1.0 - _BOUNCE * shape[3] * shape[3])
        # Most real prices are on a coarse tick; some use the finest one, where rounding shows.
        tick = np.where(trade[1] < _FINE, 1.0, self._coarse_tick(pair))
        opens, highs, lows, closes = (_on_tick(p, tick) for p in (start, top, bottom, end))
        size = _TURNOVER * trade[2] * trade[2] * trade[3]
        volume = np.rint(size / centre * SCALE * SCALE).astype(np.int64) + 1

        current = math.floor(now) // _MINUTE
        begun = number == current  # only its first trade has happened
        traded = (trade[0] >= _QUIET) & (number <= current)
        highs, lows, closes = (np.where(begun, opens, p) for p in (highs, lows, closes))
        volume = np.where(begun, volume // 4 + 1, volume)
        return _Columns(
            traded=traded,
            open=opens,
            high=np.where(traded, highs, 0),
            low=np.where(traded, lows, _NEVER),
            close=closes,
            volume=np.where(traded, volume, 0),
        )

    def _curve(self, pair: Pair, days: Ints) -> Floats:
        """The smooth price of every minute of `days`, in 1e-8, as a (day, minute) array."""
        log = np.zeros((days.size, _MINUTES))
        for period, amplitude in _DAY_OCTAVES:
            left, right = self._ends(pair, period * _MINUTES, days // period)
            minute = (days % period)[:, None] * _MINUTES + np.arange(_MINUTES)
            weight = _smooth(minute / float(period * _MINUTES))
            log += amplitude * (left[:, None] + (right - left)[:, None] * weight)
        for period, amplitude in _MINUTE_OCTAVES:
            cells = days[:, None] * (_MINUTES // period) + np.arange(_MINUTES // period)
            left, right = self._ends(pair, period, cells)
            weight = _smooth(np.arange(period) / float(period))
            part = left[..., None] + (right - left)[..., None] * weight
            log += amplitude * part.reshape(log.shape)
        # exp(x) as compound interest, (1 + x/1024)^1024: ten squarings that round alike everywhere.
        growth = 1.0 + log / 1024.0
        for _ in range(10):
            growth *= growth
        return growth * (float(self._base[pair]) * SCALE)

    def _ends(self, pair: Pair, octave: int, cells: Ints) -> tuple[Floats, Floats]:
        """The octave's hashed values in [-1, 1) at both ends of each grid cell."""
        key = self._key(pair, f"octave {octave}")
        left, right = (2.0 * _fields(key, cells + side)[0] - 1.0 for side in (0, 1))
        return left, right

    def _coarse_tick(self, pair: Pair) -> float:
        """A tick of 0.01, or about a ten-thousandth of the price where that is finer; in 1e-8."""
        places = max(2, 4 - self._base[pair].adjusted())
        return 10.0 ** max(0, PLACES - places)

    def _invented_base(self, pair: Pair) -> Decimal:
        """A price between 1 and 5,000 for a pair without a usual one."""
        return Decimal(1 + self._key(pair, "base") % 499_901) / 100 + 1

    def _key(self, pair: Pair, stream: str) -> int:
        name = f"{self._seed}|{pair.symbol}|{stream}".encode()
        return int.from_bytes(blake2b(name, digest_size=8).digest(), "big")


def _fields(key: int, index: Ints) -> list[Floats]:
    """Four independent fractions in [0, 1) for each index, in steps of 2^-16.

    The hash is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014), over key + index × φ.
    """
    mixed: Hashes = index.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    low = np.uint64(0xFFFF)
    return [((mixed >> np.uint64(shift)) & low) / 65_536.0 for shift in (0, 16, 32, 48)]


def _smooth(x: Floats) -> Floats:
    """The cubic ease from 0 to 1 that is flat at both ends."""
    return x * x * (3.0 - 2.0 * x)


def _on_tick(price: Floats, tick: Floats) -> Ints:
    """The nearest positive whole multiple of the tick; never changes the order of two prices."""
    return (np.maximum(np.rint(price / tick), 1.0) * tick).astype(np.int64)


def _aggregate(minutes: _Columns, size: int) -> _Columns:
    """Candles of `size` minutes each, one row after the other."""
    traded = minutes.traded.reshape(-1, size)
    row = np.arange(traded.shape[0])
    final = size - 1 - traded[:, ::-1].argmax(axis=1)
    return _Columns(
        traded=np.any(traded, axis=1),
        open=minutes.open.reshape(-1, size)[row, traded.argmax(axis=1)],
        high=minutes.high.reshape(-1, size).max(axis=1),
        low=minutes.low.reshape(-1, size).min(axis=1),
        close=minutes.close.reshape(-1, size)[row, final],
        volume=minutes.volume.reshape(-1, size).sum(axis=1),
    )


def _bars(stamps: Ints, candles: _Columns, chosen: Flags) -> Iterator[Bar]:
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    values_of = zip(*(column[chosen].tolist() for column in columns), strict=True)
    for stamp, values in zip(stamps[chosen].tolist(), values_of, strict=True):
        yield Bar(stamp, *(Decimal(value).scaleb(-PLACES) for value in values))
