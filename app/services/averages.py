"""Reading a series: which buckets a request selects, and what the reply holds."""

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
class Selection:
    """The buckets of one series that a request selects.

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
        """How many selected buckets have ended, so that each should have a value."""
        return self.series.interval.count(self.first, min(self.last, self.closed))


@dataclass(frozen=True, slots=True)
class Reading:
    """A rendered reply and what it says about the data.

    `state` is the series' state that the body shows. `missing` counts the selected closed buckets
    that have no value in `body`.
    """

    body: bytes
    state: SeriesState
    missing: int


def select(
    series: Series,
    since: Moment | None,
    until: Moment | None,
    history_days: int,
    now: float,
) -> Selection:
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
        return Selection(series, max(0, days, points), last, now, history_days)
    return Selection(series, interval.ceil(since.first), last, now, history_days)


def read_averages(averages: AverageStore, window: Window, selection: Selection) -> Reading:
    """The averages of one window that exist in the selected buckets.

    Raises InvalidParameter where the reply would span more than `MAX_POINTS`; StoreError.
    """
    span = limited(averages, selection)
    values = averages.read(selection.series, window, span.first, span.last)
    return Reading(values.body, values.state, max(0, selection.expected - values.count))


def read_candles(
    store: SeriesStore, averages: AverageStore, windows: Sequence[Window], selection: Selection
) -> Reading:
    """The candles stored in the selected buckets, each with its averages of `windows`.

    Raises as `read_averages` does.
    """
    span = limited(averages, selection)
    state, rows = store.rows(selection.series, span.first, span.last)
    body = rendering.candles(rows, windows)
    return Reading(body, state, max(0, selection.expected - len(rows)))


def nothing_stored(series: Series) -> str:
    """Why a read of this series is empty, and the command that fills it."""
    return f"Nothing is stored for {series.pair} at {series.interval} yet: run make initial_load."


def why_absent(
    selection: Selection, state: SeriesState, window: Window | None = None
) -> str | None:
    """Why the first selected buckets can have no value: no candle, or no average over `window`.

    None where all can: what is missing then is a gap. ASCII, at most 300 characters.
    """
    series = selection.series
    if state.first is None or state.last is None:
        return nothing_stored(series)
    begins, averages = state.first, ""
    if window is not None:
        begins += (window - 1) * series.step
        averages = f"; the first average over {window} can be that of {iso(begins)}"
    if selection.first >= begins or selection.expected <= 0:
        return None
    return (
        f"{series.pair} at {series.interval} is stored from {iso(state.first)} to {iso(state.last)}"
        f"{averages}. To go further back, raise HISTORY_DAYS ({selection.history_days}) and run "
        "make initial_load."
    )


def limited(averages: AverageStore, selection: Selection) -> Span:
    """Limit the selection to buckets that can hold a value. Refuse more than `MAX_POINTS`.

    Reads the series' bounds from the store only where the period alone is too long.
    """
    interval = selection.series.interval
    first, last = max(selection.first, OLDEST_BUCKET), selection.last
    if interval.count(first, min(last, selection.closed)) <= MAX_POINTS:
        return Span(first, last)
    state = averages.state(selection.series)
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
