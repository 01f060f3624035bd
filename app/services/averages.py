"""Reading a series: which buckets a request means, and what the reply holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import InvalidParameter, ReversedPeriod
from app.core.market import DAY, OLDEST_BUCKET, Series, SeriesState, Window
from app.core.ports import AverageStore, SeriesStore
from app.domain import rendering
from app.domain.gaps import Span
from app.domain.times import Moment, iso

MAX_POINTS: Final = 10_000
"""The most buckets that one reply may span."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The buckets of one series that a request asks for.

    `first` and `last` are bucket starts, `last` possibly before `first` or in the future; `now` is
    the unix time of the request, `history_days` how many days are served.
    """

    series: Series
    first: int
    last: int
    now: float
    history_days: int

    @property
    def closed(self) -> int:
        """The newest bucket that had ended by our clock when the request came."""
        return self.series.interval.last_closed(self.now)

    @property
    def expected(self) -> int:
        """How many of the asked buckets have ended, so that a value can be expected of them."""
        return self.series.interval.count(self.first, min(self.last, self.closed))


@dataclass(frozen=True, slots=True)
class Reading:
    """A rendered reply and what it says about the data.

    `state` is the series' as the body shows it. `missing` counts the asked and closed buckets that
    have no value in `body`.
    """

    body: bytes
    state: SeriesState
    missing: int


def asked(
    series: Series,
    since: Moment | None,
    until: Moment | None,
    history_days: int,
    now: float,
) -> Asked:
    """The buckets from `since` to `until`, both inclusive, with the defaults where one is None.

    `until` defaults to the last closed bucket, `since` to `history_days` - 1 days before `until`, or
    to what `MAX_POINTS` allows where that is later. Raises ReversedPeriod.
    """
    interval = series.interval
    closed = interval.last_closed(now)
    if since and until and min(since.first, since.last) > until.last:
        raise ReversedPeriod(
            f"The period is reversed: from ({iso(since.first)}) lies after to ({iso(until.last)}). "
            "Exchange them."
        )
    last = closed if until is None else interval.floor(until.last)
    if since is None:
        newest = min(last, closed)
        days = newest - (history_days - 1) * DAY
        points = newest - (MAX_POINTS - 1) * interval.seconds
        return Asked(series, max(0, days, points), last, now, history_days)
    return Asked(series, interval.ceil(since.first), last, now, history_days)


def read_averages(averages: AverageStore, window: Window, asked: Asked) -> Reading:
    """The averages of one window that exist in the asked buckets.

    Raises InvalidParameter where the reply would span more than `MAX_POINTS`; StoreError.
    """
    span = limited(averages, asked)
    found = averages.read(asked.series, window, span.first, span.last)
    return Reading(found.body, found.state, max(0, asked.expected - found.count))


def read_candles(
    store: SeriesStore, averages: AverageStore, windows: Sequence[Window], asked: Asked
) -> Reading:
    """The candles stored in the asked buckets, each with its averages of `windows`.

    Raises as `read_averages` does.
    """
    span = limited(averages, asked)
    state, rows = store.rows(asked.series, span.first, span.last)
    body = rendering.candles(rows, windows)
    return Reading(body, state, max(0, asked.expected - len(rows)))


def nothing_stored(series: Series) -> str:
    """Why a read of this series is empty, and the command that fills it."""
    return f"Nothing is stored for {series.pair} at {series.interval} yet: run make initial_load."


def why_absent(asked: Asked, state: SeriesState, window: Window | None = None) -> str | None:
    """Why asked buckets lie before all that can have a value: a candle, or the average of a `window`.

    None where none does; what is missing after that is a gap. ASCII, at most 300 characters.
    """
    series = asked.series
    if state.first is None or state.last is None:
        return nothing_stored(series)
    begins, averages = state.first, ""
    if window is not None:
        begins += (window - 1) * series.step
        averages = f"; the first average over {window} can be that of {iso(begins)}"
    if asked.first >= begins or asked.expected <= 0:
        return None
    return (
        f"{series.pair} at {series.interval} is stored from {iso(state.first)} to {iso(state.last)}"
        f"{averages}. To go further back, raise HISTORY_DAYS ({asked.history_days}) and run "
        "make initial_load."
    )


def limited(averages: AverageStore, asked: Asked) -> Span:
    """The asked buckets that can hold anything, refused where they are too many for one reply.

    The store is asked for the series' bounds only where the period alone does not settle it.
    """
    interval = asked.series.interval
    first, last = max(asked.first, OLDEST_BUCKET), asked.last
    if interval.count(first, min(last, asked.closed)) <= MAX_POINTS:
        return Span(first, last)
    state = averages.state(asked.series)
    if state.first is None or state.last is None:
        return Span(first, last)
    first, last = max(first, state.first), min(last, state.last)
    count = interval.count(first, last)
    if count > MAX_POINTS:
        part = first + (MAX_POINTS - 1) * interval.seconds
        raise InvalidParameter(
            f"from and to span {count:,} stored buckets of {interval}; one reply holds at most "
            f"{MAX_POINTS:,}. Ask in parts, beginning with from={first}&to={part}."
        )
    return Span(first, last)
