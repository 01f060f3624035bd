"""Validate the candles that an exchange sends, row by row: pure, and the same for every source.

A row is accepted whole or not at all, and only when nothing about it is doubtful. A hole can be
seen and repaired later; a wrong close would sit unseen in 200 averages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from app.core.errors import UnrepresentablePrice
from app.core.market import (
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
"""Seconds by which a stamp may lie after the exchange's own clock; one bucket where that is longer.

A reply may come out of a cache. No exchange can know what lies further ahead."""

SETTLING: Final = 2
"""Seconds after a bucket's end from which its candle counts as final.

The exchange stamps a reply a moment after it read the candles, and a trade of the last instant may
still be on its way into them."""


UNCERTAIN: Final = 120
"""Seconds after its end in which a reply's newest candle may still be a running one: some caches
stamp a stored body anew and do not say its age."""

_PRICES: Final = ("open", "high", "low", "close")


class RawCandle(NamedTuple):
    """One parsed row. Each value is an int, decimal text, or whatever was sent instead.

    A row whose four prices are null says that nobody traded in the bucket.
    """

    bucket: object
    open: object
    high: object
    low: object
    close: object
    volume: object


class _Refused(Exception):
    """The row must not be used. The message is a sentence that says why."""


def closed_page(
    rows: Iterable[RawCandle],
    interval: Interval,
    first: int,
    last: int,
    made_at: int,
    present: int = 0,
) -> CandlePage:
    """Build the page of the closed buckets in [first, last] (bucket starts) from raw rows.

    A bucket is closed when it ended at least `SETTLING` seconds before the exchange read the rows:
    at `made_at` (unix seconds, the time of the reply's body), or earlier where the rows say so. The
    running candle is normal in a reply: it is left out and not reported. So is a later one, up to
    the `present`: the body may be newer than is certain.
    """
    rows = list(rows)
    exchange_time = _read_at(rows, interval, made_at)
    settled = exchange_time - SETTLING
    closed = min(last, interval.last_closed(settled))
    latest = max(made_at, present) + max(AHEAD, interval.seconds)
    candles, refused = judged(rows, interval, first, closed, latest)
    return CandlePage(
        first=first,
        last=closed,
        candles=candles,
        refused=refused,
        exchange_time=exchange_time,
        complete=settled < last + interval.seconds,
    )


def _read_at(rows: Sequence[RawCandle], interval: Interval, made_at: int) -> int:
    """When the exchange read the rows, at the latest: `made_at`, or before the newest candle's end.

    The running candle comes last. So a candle that nothing follows may have been read while it was
    running, until UNCERTAIN seconds after its end. A row without a trade follows nothing: an
    exchange that has such rows may fill the period that was requested with them.
    """
    begun = [
        bucket
        for row in rows
        if (bucket := _start(row, interval, made_at)) is not None and not _without_trade(row)
    ]
    if not begun:
        return made_at
    end = max(begun) + interval.seconds
    return end - 1 if end <= made_at < end + UNCERTAIN else made_at


def _start(row: RawCandle, interval: Interval, latest: int) -> int | None:
    """The bucket's start; None where the stamp is impossible or beside the grid."""
    try:
        bucket = _stamp(row.bucket, latest)
    except _Refused:
        return None
    return None if bucket % interval.seconds else bucket


def _without_trade(row: RawCandle) -> bool:
    """Whether the row says that nobody traded in its bucket, whatever its volume."""
    return all(getattr(row, name) is None for name in _PRICES)


def judged(
    rows: Iterable[RawCandle],
    interval: Interval,
    first: int,
    last: int,
    latest: int,
) -> tuple[tuple[Candle, ...], tuple[RefusedCandle, ...]]:
    """Sort raw rows of the buckets [first, last] into candles to use and rows to refuse.

    Candles are unique and ascending. Refusals follow the order of their buckets; those without a
    readable bucket come first.

    - A row outside [first, last] was not requested and is ignored.
    - A row with an impossible stamp is refused: not an integer, before OLDEST_BUCKET, or after
      `latest` (as milliseconds are).
    - A row without a trade, on the grid, is left out: the exchange has no candle of that bucket.
    - Equal rows of one bucket count once. Where they differ, or one is bad, all are refused.
    - A stamp off the grid is refused under the bucket that it lies in: the exchange does have data
      for that bucket, so it must not count as absent.
    """
    outcomes: dict[int, Candle | RefusedCandle] = {}
    unstamped: list[RefusedCandle] = []
    for row in rows:
        try:
            bucket = _stamp(row.bucket, latest)
        except _Refused as error:
            unstamped.append(RefusedCandle(None, str(error)))
            continue
        if _without_trade(row) and not bucket % interval.seconds:
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
    prices = {name: _price(name, getattr(row, name)) for name in _PRICES}
    for name, price in prices.items():
        if price > prices["high"]:
            raise _Refused(f"The {name} {getattr(row, name)} lies above the high {row.high}.")
        if price < prices["low"]:
            raise _Refused(f"The {name} {getattr(row, name)} lies below the low {row.low}.")
    # Volumes are not averaged, so a volume finer than 1e-8 is no reason to lose a close.
    volume = _number("volume", row.volume, fixed_point.rounded)
    if not 0 <= volume <= MAX_VOLUME:
        raise _Refused(f"The volume {_shown(row.volume)} is negative or too large.")
    return Candle(bucket=bucket, volume=volume, **prices)


def _stamp(value: object, latest: int) -> int:
    """Read the bucket's start in unix seconds, at most `latest`."""
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
    """Show a value from outside in at most 60 characters."""
    # Without the contents of lists and objects: rendering a deep nesting overflows the stack.
    if isinstance(value, list | dict):
        return "(a list)" if isinstance(value, list) else "(an object)"
    return repr(value)[:60]
