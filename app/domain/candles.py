"""Validate the candles that an exchange sends, row by row: pure, and the same for every source.

A row is used only when nothing about its stamp and prices is doubtful. A hole can be seen and
repaired later; a wrong close would sit unseen in 200 averages. The volume decides nothing: it is
not averaged, and a doubtful one is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, TypeVar

from app.core.errors import UnrepresentablePrice
from app.core.market import (
    MAX_PRICE,
    OLDEST_BUCKET,
    Candle,
    CandlePage,
    Exact,
    Interval,
    RefusedCandle,
    VolumeNote,
)
from app.domain import fixed_point

Number = TypeVar("Number")
Outcome = Candle | RefusedCandle

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


@dataclass(frozen=True, slots=True)
class ReplyTimes:
    """What is known of the time of a reply; unix seconds.

    `made_at` is when its body was made, as far as the reply says, and `ours` our own clock.
    `received_at` is when it came: by our clock, unless that is known to be off. `present` is the
    later of what our clock and the host's say.
    """

    made_at: int
    ours: int
    received_at: int
    present: int


class Judged(NamedTuple):
    """Candles to use, unique and ascending; rows to refuse; notes on candles without a volume."""

    candles: tuple[Candle, ...]
    refused: tuple[RefusedCandle, ...]
    notes: tuple[VolumeNote, ...]


class _Refused(Exception):
    """The value must not be used. The message is a sentence that says why."""


def closed_page(
    rows: Iterable[RawCandle],
    interval: Interval,
    first: int,
    last: int,
    times: ReplyTimes,
) -> CandlePage:
    """Build the page of the closed buckets in [first, last] (bucket starts) from raw rows.

    A bucket is closed when it ended at least `SETTLING` seconds before the exchange read the rows:
    when the reply's body was made, or earlier where the rows say so. The running candle is normal
    in a reply: it is left out and not reported. So is a later one, up to the present: the body may
    be newer than is certain.
    """
    rows = list(rows)
    exchange_time = _read_at(rows, interval, times)
    settled = exchange_time - SETTLING
    closed = min(last, interval.last_closed(settled))
    latest = max(times.made_at, times.present) + max(AHEAD, interval.seconds)
    candles, refused, notes = judged(rows, interval, first, closed, latest)
    return CandlePage(
        first=first,
        last=closed,
        candles=candles,
        refused=refused,
        exchange_time=exchange_time,
        received_at=times.received_at,
        complete=settled < last + interval.seconds,
        notes=notes,
    )


def _read_at(rows: Sequence[RawCandle], interval: Interval, times: ReplyTimes) -> int:
    """When the exchange read the rows, at the latest: before the end of a newest running candle.

    The running candle comes last. So a candle that nothing follows may have been read while it was
    running, until UNCERTAIN seconds after its end, by the host's clock or by ours: the host's may
    be ahead. A row without a trade follows nothing: an exchange that has such rows may fill the
    period that was requested with them.
    """
    made_at = times.made_at
    begun = [
        bucket
        for row in rows
        if (bucket := _start(row, interval, made_at)) is not None and not _without_trade(row)
    ]
    if not begun:
        return made_at
    newest = max(begun)
    end = newest + interval.seconds
    doubtful = any(newest <= clock < end + UNCERTAIN for clock in (made_at, times.ours))
    return min(made_at, end - 1) if doubtful else made_at


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
) -> Judged:
    """Sort raw rows of the buckets [first, last] into candles to use and rows to refuse.

    Refusals and notes follow the order of their buckets; refusals without a readable bucket come
    first.

    - A row outside [first, last] was not requested and is ignored.
    - A row with an impossible stamp is refused: not an integer, before OLDEST_BUCKET, or after
      `latest` (as milliseconds are).
    - A row without a trade, on the grid, is left out: the exchange has no candle of that bucket. So
      is one of nulls alone.
    - Equal rows of one bucket count once. Where their prices differ, or one is bad, all are
      refused. Where their volumes alone differ, the candle has none, unless all but one are none.
    - A volume that is no number, negative, or of too many digits is none.
    - A stamp off the grid is refused under the bucket that it lies in: the exchange does have data
      for that bucket, so it must not count as absent.
    """
    outcomes: dict[int, dict[Outcome, str]] = {}
    unstamped: list[RefusedCandle] = []
    for row in rows:
        if row.bucket is None and _without_trade(row):
            continue
        try:
            bucket = _stamp(row.bucket, latest)
        except _Refused as error:
            unstamped.append(RefusedCandle(None, str(error)))
            continue
        if _without_trade(row) and not bucket % interval.seconds:
            continue
        if first <= bucket < last + interval.seconds:
            outcome, trouble = _judged_row(row, bucket, interval)
            outcomes.setdefault(bucket, {}).setdefault(outcome, trouble)
    candles: list[Candle] = []
    refused: list[RefusedCandle] = []
    notes: list[VolumeNote] = []
    for bucket in sorted(outcomes):
        outcome, trouble = _together(bucket, outcomes[bucket])
        if isinstance(outcome, RefusedCandle):
            refused.append(outcome)
        else:
            candles.append(outcome)
            if trouble:
                notes.append(VolumeNote(bucket, trouble))
    return Judged(tuple(candles), (*unstamped, *refused), tuple(notes))


def _judged_row(row: RawCandle, bucket: int, interval: Interval) -> tuple[Outcome, str]:
    """What becomes of the row, and a sentence on its volume if a candle has none."""
    try:
        candle = _candle(row, bucket, interval)
    except _Refused as error:
        return RefusedCandle(interval.floor(bucket), str(error)), ""
    try:
        return replace(candle, volume=_volume(row.volume)), ""
    except _Refused as error:
        return candle, str(error)


def _together(bucket: int, outcomes: Mapping[Outcome, str]) -> tuple[Outcome, str]:
    """What becomes of a bucket whose rows had these different outcomes."""
    if len(outcomes) > 1:
        bare = {replace(o, volume=None) if isinstance(o, Candle) else o for o in outcomes}
        if len(bare) > 1:
            reason = "This bucket came more than once, with different values."
            return RefusedCandle(bucket, reason), ""
        outcomes = {o: "" for o in outcomes if isinstance(o, Candle) and o.volume is not None}
        if len(outcomes) > 1:
            return bare.pop(), "This bucket came more than once, with different volumes."
    ((outcome, trouble),) = outcomes.items()
    return outcome, trouble


def _candle(row: RawCandle, bucket: int, interval: Interval) -> Candle:
    """The row's candle, without its volume. Raises _Refused."""
    if bucket % interval.seconds:
        raise _Refused(f"The stamp {bucket} is not the start of a bucket of {interval}.")
    prices = {name: _price(name, getattr(row, name)) for name in _PRICES}
    for name, price in prices.items():
        if price > prices["high"]:
            raise _Refused(f"The {name} {getattr(row, name)} lies above the high {row.high}.")
        if price < prices["low"]:
            raise _Refused(f"The {name} {getattr(row, name)} lies below the low {row.low}.")
    return Candle(bucket=bucket, volume=None, **prices)


def _volume(value: object) -> Exact:
    volume = _number("volume", value, fixed_point.kept)
    if fixed_point.as_decimal(volume) < 0:
        raise _Refused(f"The volume {_shown(value)} is negative.")
    return volume


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


def _number(name: str, value: object, read: Callable[[str], Number]) -> Number:
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
    return ascii(value)[:60]  # which every database's encoding has
