"""What an exchange sent, judged row by row: pure, and the same for every source.

A row is taken only as a whole and only when nothing about it is doubtful: a hole can be seen and
repaired later, a wrong close would sit unseen in 200 averages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from app.core.errors import UnrepresentablePrice
from app.core.market import (
    FIRST_FINER_STAMP,
    MAX_PRICE,
    MAX_VOLUME,
    OLDEST_BUCKET,
    Candle,
    CandlePage,
    Interval,
    RefusedCandle,
)
from app.domain import fixed_point

_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)

AHEAD: Final = 3_600
"""Seconds by which a stamp may lie after the exchange's own clock, and one bucket at the least: a reply
may come out of a cache. What is further ahead no exchange can know."""

SETTLING: Final = 2
"""Seconds that a bucket must have ended before its candle counts as final: a reply is stamped a moment
after its candles were read, and a trade of the last instant may still be on its way into them."""


class RawCandle(NamedTuple):
    """One row as parsed: an int, decimal text, or whatever else was sent in its place."""

    bucket: object
    open: object
    high: object
    low: object
    close: object
    volume: object


class _Refused(Exception):
    """The row must not be used; the message is a sentence that says why."""


def closed_page(
    rows: Iterable[RawCandle], interval: Interval, first: int, last: int, exchange_time: int
) -> CandlePage:
    """Make the page of the closed buckets among [first, last] (bucket starts) out of raw rows.

    A bucket is closed when it has ended `SETTLING` seconds before `exchange_time`, unix seconds by
    the exchange's clock. The running candle is left out without a word: it is normal that it comes.
    """
    settled = exchange_time - SETTLING
    closed = min(last, interval.last_closed(settled))
    latest = exchange_time + max(AHEAD, interval.seconds)
    candles, refused = judged(rows, interval, first, closed, latest)
    return CandlePage(
        first=first,
        last=closed,
        candles=candles,
        refused=refused,
        exchange_time=exchange_time,
        complete=settled < last + interval.seconds,
    )


def judged(
    rows: Iterable[RawCandle],
    interval: Interval,
    first: int,
    last: int,
    latest: int = FIRST_FINER_STAMP - 1,
) -> tuple[tuple[Candle, ...], tuple[RefusedCandle, ...]]:
    """Sort raw rows of the buckets [first, last] into candles to use and rows to refuse.

    Candles come out unique and ascending, refusals in the order of their buckets, those without a
    readable one first. A row of another time is more than was asked for and is passed over; one whose
    stamp no exchange could mean (no integer, before OLDEST_BUCKET, after `latest`, as milliseconds are)
    is refused. Equal rows of one bucket count once; where they differ, or one of them is bad, all are
    refused. A stamp beside the grid is refused as of the bucket that it lies in: that the exchange has
    nothing of it cannot be said.
    """
    outcomes: dict[int, Candle | RefusedCandle] = {}
    unstamped: list[RefusedCandle] = []
    for row in rows:
        try:
            bucket = _stamp(row.bucket, latest)
        except _Refused as error:
            unstamped.append(RefusedCandle(None, str(error)))
            continue
        if first <= bucket < last + interval.seconds:
            outcome = _judged_row(row, bucket, interval)
            if outcomes.setdefault(bucket, outcome) != outcome:
                outcomes[bucket] = RefusedCandle(
                    bucket, "This bucket came more than once, with different values."
                )
    ordered = [outcomes[bucket] for bucket in sorted(outcomes)]
    return (
        tuple(item for item in ordered if isinstance(item, Candle)),
        (*unstamped, *(item for item in ordered if isinstance(item, RefusedCandle))),
    )


def _judged_row(row: RawCandle, bucket: int, interval: Interval) -> Candle | RefusedCandle:
    try:
        return _candle(row, bucket, interval)
    except _Refused as error:
        return RefusedCandle(interval.floor(bucket), str(error))


def _candle(row: RawCandle, bucket: int, interval: Interval) -> Candle:
    if bucket % interval.seconds:
        raise _Refused(f"The stamp {bucket} is not the start of a bucket of {interval}.")
    prices = {name: _price(name, getattr(row, name)) for name in ("open", "high", "low", "close")}
    for name, price in prices.items():
        if price > prices["high"]:
            raise _Refused(f"The {name} {getattr(row, name)} lies above the high {row.high}.")
        if price < prices["low"]:
            raise _Refused(f"The {name} {getattr(row, name)} lies below the low {row.low}.")
    # No average is made of volumes, so one that is finer than 1e-8 is no reason to lose a close.
    volume = _number("volume", row.volume, fixed_point.rounded)
    if not 0 <= volume <= MAX_VOLUME:
        raise _Refused(f"The volume {_shown(row.volume)} is negative or too large.")
    return Candle(bucket=bucket, volume=volume, **prices)


def _stamp(value: object, latest: int) -> int:
    """The bucket's start in unix seconds, at most `latest`."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        at = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        at = value
    else:
        at, fraction = divmod(_number("stamp", value, fixed_point.exact), fixed_point.SCALE)
        if fraction:
            raise _Refused(f"The stamp {_shown(value)} is no whole number of seconds.")
    if at < OLDEST_BUCKET:
        raise _Refused(f"The stamp {_shown(value)} lies before 2011, when nothing was traded.")
    if at > latest:
        raise _Refused(f"The stamp {_shown(value)} lies in the future, or is not in unix seconds.")
    return at


def _price(name: str, value: object) -> int:
    price = _number(name, value, fixed_point.exact)
    if price <= 0:
        raise _Refused(f"The {name} {_shown(value)} is not above zero.")
    if price > MAX_PRICE:
        raise _Refused(
            f"The {name} {_shown(value)} is above {fixed_point.text(MAX_PRICE)}, the highest price "
            "whose averages are exact."
        )
    return price


def _number(name: str, value: object, read: Callable[[str], int]) -> int:
    if value is None:
        raise _Refused(f"The {name} is missing.")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _Refused(f"The {name} {_shown(value)} is no number.")
    try:
        return read(str(value))
    except UnrepresentablePrice as error:
        raise _Refused(f"The {name} cannot be used: {error}.") from error


def _shown(value: object) -> str:
    """A value from outside in at most 60 characters."""
    # Not the contents of lists and objects: nested deeply enough, their text overflows the stack.
    if isinstance(value, list | dict):
        return "(a list)" if isinstance(value, list) else "(an object)"
    return repr(value)[:60]
