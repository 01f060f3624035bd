"""What faults do to candles and prices before they are written into a reply.

Whatever comes out is sent as it is: refusing it is the reader's job.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final

from app.core.market import DAY, OLDEST_BUCKET, Interval, Pair
from app.sandbox.book import Bar, CandleBook
from app.sandbox.fault_parameters import Acts
from app.sandbox.faults import Fault
from app.sandbox.prices import PriceBoard, Quote
from app.sandbox.wire import Reply

_TICK: Final = Decimal("0.00000001")
_EXACT: Final = Context(prec=60)
_FULL: Final = Context(prec=16)  # as many digits as spot prices come with
_INDEXES: Final = 100_000  # a smaller number is a place in the reply, a larger one a time

Change = Callable[[Fault, Bar, Interval, float], Sequence[Bar]]


def distorted(
    faults: Iterable[Fault], bars: Sequence[Bar], interval: Interval, now: float
) -> list[Bar]:
    """The candles of a reply, ascending, with the faults upon them; `now` is the exchange's time."""
    sent = list(bars)
    for fault in faults:
        if fault.kind.name == "order":
            sent = _reordered(fault, sent)
        elif fault.kind.name == "running":
            sent = _with_running_elsewhere(fault, sent, interval, now)
        elif fault.kind.name in _CHANGES:
            change = _CHANGES[fault.kind.name]
            chosen = places(fault, [bar.stamp for bar in sent])
            sent = [
                changed
                for place, bar in enumerate(sent)
                for changed in (change(fault, bar, interval, now) if place in chosen else [bar])
            ]
    return sent


def places(fault: Fault, stamps: Sequence[int]) -> set[int]:
    """Which rows of a reply the fault's `candle` means. A place beyond the ends is the end."""
    text, count = fault.text("candle"), len(stamps)
    if text == "all" or not count:
        return set(range(count))
    if "-" in text[1:]:
        day = int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
        return {place for place, stamp in enumerate(stamps) if day <= stamp < day + DAY}
    at = int(text)
    if abs(at) >= _INDEXES:
        return {place for place, stamp in enumerate(stamps) if stamp == at}
    return {min(max(at + count if at < 0 else at, 0), count - 1)}


def factor_of(faults: Iterable[Fault]) -> Decimal:
    """By what the `scale` faults multiply every price; 1 where there is none."""
    factor = Decimal(1)
    for fault in faults:
        if fault.kind.name == "scale":
            factor = _EXACT.multiply(factor, _factor(fault))
    return factor


def _factor(fault: Fault) -> Decimal:
    text = fault.text()
    number = Decimal(text.removeprefix("/"))
    return _EXACT.divide(Decimal(1), number) if text.startswith("/") else number


def times(price: Decimal, factor: Decimal) -> Decimal:
    """A price of a candle times a factor, on the exchange's tick and never below one."""
    scaled = _EXACT.multiply(price, factor).quantize(_TICK, context=_EXACT)
    return max(scaled, _TICK) if price > 0 else scaled


def _scaled(bar: Bar, factor: Decimal) -> Bar:
    """The candle with every price times a factor."""
    return replace(
        bar,
        open=times(bar.open, factor),
        high=times(bar.high, factor),
        low=times(bar.low, factor),
        close=times(bar.close, factor),
    )


class ScaledBook:
    """Another book with every price multiplied."""

    def __init__(self, base: CandleBook, factor: Decimal) -> None:
        self._base = base
        self._factor = factor
        self.kind = base.kind
        self.pairs: tuple[Pair, ...] = base.pairs

    def candles(
        self, pair: Pair, interval: Interval, first: int, last: int, now: float
    ) -> Sequence[Bar]:
        """The other book's candles, scaled."""
        bars = self._base.candles(pair, interval, first, last, now)
        return [_scaled(bar, self._factor) for bar in bars]


class ScaledPrices(PriceBoard):
    """Another board with every price multiplied."""

    def __init__(self, base: PriceBoard, factor: Decimal) -> None:
        super().__init__(base)
        self._board = base
        self._factor = factor

    def next_failure(self) -> Reply | None:
        """The other board's."""
        return self._board.next_failure()

    def quotes(self, ids: Iterable[str], now: float) -> Mapping[str, Quote]:
        """The other board's quotes, scaled."""
        return {
            coin_id: Quote(
                {
                    currency: None if price is None else _FULL.multiply(price, self._factor)
                    for currency, price in quote.prices.items()
                },
                quote.updated_at,
            )
            for coin_id, quote in self._board.quotes(ids, now).items()
        }


def _reordered(fault: Fault, bars: list[Bar]) -> list[Bar]:
    if fault.text() == "reversed":
        return bars[::-1]
    # The same for the same reply, so that what was seen once can be looked into again.
    return random.Random(len(bars)).sample(bars, len(bars))  # noqa: S311 - nothing secret


def _with_running_elsewhere(
    fault: Fault, bars: list[Bar], interval: Interval, now: float
) -> list[Bar]:
    running = [bar for bar in bars if bar.stamp + interval.seconds > now]
    others = [bar for bar in bars if bar not in running]
    place = 0 if fault.text() == "first" else len(others) // 2
    return [*others[:place], *running, *others[place:]]


def _duplicate(fault: Fault, bar: Bar, _interval: Interval, _now: float) -> Sequence[Bar]:
    again = bar if fault.text() == "equal" else replace(bar, close=bar.low, open=bar.high)
    if fault.text() == "different" and again == bar:  # a flat candle, or one that fell all the way
        again = replace(bar, volume=bar.volume + 1)
    return [bar, again]


def _missing(_fault: Fault, _bar: Bar, _interval: Interval, _now: float) -> Sequence[Bar]:
    return []


def _price(fault: Fault, bar: Bar, _interval: Interval, _now: float) -> Sequence[Bar]:
    values = {name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")}
    return [Bar(bar.stamp, **{**values, fault.text("field"): Decimal(fault.text())})]


def _crossed(_fault: Fault, bar: Bar, _interval: Interval, _now: float) -> Sequence[Bar]:
    return [replace(bar, high=bar.low, low=bar.high + _TICK)]


def _outside(fault: Fault, bar: Bar, _interval: Interval, _now: float) -> Sequence[Bar]:
    price = bar.high + _TICK if fault.text("side") == "above" else times(bar.low, Decimal("0.99"))
    return [replace(bar, open=price) if fault.text() == "open" else replace(bar, close=price)]


def _stamp(fault: Fault, bar: Bar, interval: Interval, now: float) -> Sequence[Bar]:
    stamps = {
        "off-grid": bar.stamp + interval.seconds // 2,
        "ms": bar.stamp * 1_000,
        "us": bar.stamp * 1_000_000,
        "future": interval.floor(now) + 10 * interval.seconds,
        "ancient": interval.floor(OLDEST_BUCKET) - interval.seconds,
    }
    return [replace(bar, stamp=stamps[fault.text()])]


def _revise(fault: Fault, bar: Bar, _interval: Interval, _now: float) -> Sequence[Bar]:
    factor = _factor(fault)
    if fault.text("prices") == "all":
        return [_scaled(bar, factor)]
    close = times(bar.close, factor)
    return [replace(bar, close=close, high=max(bar.high, close), low=min(bar.low, close))]


_CHANGES: Final[Mapping[str, Change]] = {
    "duplicate": _duplicate,
    "missing": _missing,
    "price": _price,
    "crossed": _crossed,
    "outside": _outside,
    "stamp": _stamp,
    "revise": _revise,
}

HANDLED: Final = (Acts.MARKET, frozenset({"scale", "order", "running", *_CHANGES}))
"""The kinds that this module acts out."""
