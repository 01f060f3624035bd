"""What each address of the stand-in exchange answers: functions of the book, the query and the time.

Seen or documented: the meaning of `to`, `from` and `countback`, the codes for a wrong symbol, a
wrong resolution's message, the missing `symbols`. Inferred: the codes for a wrong resolution and
for a missing or malformed `to`, `from`, `countback` and `precision`; that a request with neither
`from` nor `countback` gets the newest page; everything about a wrong legacy request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.core.market import DAY, Interval, Pair
from app.sandbox import wire
from app.sandbox.book import Bar, CandleBook, newest
from app.sandbox.wire import Reply, Ticker

Query = Mapping[str, str]

Distort = Callable[[Sequence[Bar], Interval, float], Sequence[Bar]]
"""What is to go wrong with the candles of a reply at the exchange's time."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_RESOLUTIONS: Final = "1m, 15m, 1h, 3h, 1d, 1w, 1M(for months)"
# The exchange has these two as well. Where their buckets begin is not known, so the stand-in has no
# candles of them instead of wrong ones.
_WITHOUT_CANDLES: Final = ("1w", "1M")


class Refused(Exception):
    """The request is wrong, and `reply` says how."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


def unchanged(bars: Sequence[Bar], _interval: Interval, _now: float) -> Sequence[Bar]:
    """The Distort that lets everything through."""
    return bars


def candles(
    book: CandleBook, query: Query, now: float, limit: int, distort: Distort = unchanged
) -> Reply:
    """v4 `/candles`: the newest `limit` candles up to `to`, inclusive. Raises Refused."""
    pair = {pair.symbol: pair for pair in book.pairs}.get(query.get("symbol", ""))
    if pair is None:
        raise _refused("SYMBOL_IS_INVALID", "This symbol is invalid or not found")
    resolution = query.get("resolution", "")
    interval = _interval(resolution)
    if interval is None and resolution not in _WITHOUT_CANDLES:
        raise _refused(
            "RESOLUTION_IS_INVALID", f"The param {{resolution}} must be one of {_RESOLUTIONS}"
        )
    if not query.get("to"):
        raise _refused("TO_IS_REQUIRED", "The param {to} must not be empty")
    last = _integer(query, "to")
    first = _integer(query, "from") if query.get("from") else 0
    if query.get("countback"):
        # Beats `from`: so many candles, however far back they lie.
        first, limit = 0, min(limit, _integer(query, "countback"))
        if limit < 1:
            raise _refused("COUNTBACK_IS_INVALID", "The param {countback} must be positive")
    if interval is None:
        return wire.columns([])
    bars = newest(book, pair, interval, max(0, first), last, now, limit)
    return wire.columns(distort(bars, interval, now))


def tickers(book: CandleBook, query: Query, now: float) -> Reply:
    """v4 `/tickers`: one object for each known symbol; unknown ones are dropped silently.

    Raises Refused.
    """
    if not query.get("symbols"):
        raise Refused(
            wire.problem(
                "PUBLIC_DATA|LIST_TICKERS|SYMBOLS_IS_REQUIRED",
                "The param {symbols} must not be empty",
            )
        )
    pairs = _asked(book, query["symbols"])
    return wire.tickers([_ticker(book, pair, now) for pair in pairs], int(now))


def symbols(book: CandleBook, query: Query, turn: int) -> Reply:
    """v4 `/symbols`; the order is not stable on the real exchange, so it moves with each `turn`."""
    pairs = _asked(book, query["symbols"]) if query.get("symbols") else book.pairs
    start = turn % max(1, len(pairs))
    return wire.symbols([*pairs[start:], *pairs[:start]])


def legacy_candles(
    book: CandleBook,
    name: str,
    query: Query,
    now: float,
    limit: int,
    distort: Distort = unchanged,
) -> Reply:
    """Legacy `/{QUOTE}{BASE}/candle`: the newest `limit` candles from `from` up to `to`.

    `from` rounds up to the next bucket, as a candle that began before it is left out. Raises Refused.
    """
    pair = {pair.legacy: pair for pair in book.pairs}.get(name)
    if pair is None:
        raise Refused(wire.COIN_NOT_FOUND)
    interval = _interval(query.get("precision", ""))
    if interval is None:
        raise _refused("PRECISION_IS_INVALID", "The param {precision} is invalid")
    first, last = _integer(query, "from"), _integer(query, "to")
    bars = newest(book, pair, interval, max(0, first), last, now, limit)
    return wire.legacy_candles(distort(bars, interval, now), int(now))


def _ticker(book: CandleBook, pair: Pair, now: float) -> Ticker:
    """From the finest candles of the last 24 hours; without any, the last close known."""
    for interval in Interval:
        bars = book.candles(pair, interval, int(now) - DAY + 1, int(now), now)
        if bars:
            return Ticker(
                pair,
                high=max(bar.high for bar in bars),
                low=min(bar.low for bar in bars),
                volume=sum((bar.volume for bar in bars), wire.ZERO),
                last=bars[-1].close,
                open=bars[0].open,
            )
    known = [bar for item in Interval for bar in newest(book, pair, item, 0, int(now), now, 1)]
    last = max(known, key=lambda bar: bar.stamp).close if known else wire.ZERO
    return Ticker(pair, high=wire.ZERO, low=wire.ZERO, volume=wire.ZERO, last=last, open=wire.ZERO)


def _asked(book: CandleBook, listed: str) -> list[Pair]:
    known = {pair.symbol: pair for pair in book.pairs}
    names = dict.fromkeys(listed.split(","))
    return [known[name] for name in names if name in known]


def _interval(name: str) -> Interval | None:
    return next((item for item in Interval if item.value == name), None)


def _integer(query: Query, name: str) -> int:
    text = query.get(name, "")
    if _INTEGER.fullmatch(text) is None:
        raise _refused(f"{name.upper()}_IS_INVALID", f"The param {{{name}}} must be an integer")
    return int(text)


def _refused(error: str, message: str) -> Refused:
    return Refused(wire.problem(f"PUBLIC_DATA|LIST_CANDLES|{error}", message))
