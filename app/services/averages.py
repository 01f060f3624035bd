"""Read a series: which buckets a request selects, and what the reply holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.errors import InvalidParameter
from app.core.market import (
    DAY,
    OLDEST_BUCKET,
    WINDOWS,
    AverageRow,
    AverageSlice,
    Candle,
    Exact,
    Interval,
    Series,
    SeriesState,
    Window,
)
from app.core.ports import AverageStore, SeriesStore, WarmAverages
from app.domain.candles import UNCERTAIN
from app.domain.gaps import Span
from app.domain.tables import PLAIN, Layout, Row, table
from app.domain.times import Moment, require_order
from app.services.gaps import grace_of

MAX_POINTS: Final = 10_000
"""The most buckets that one reply may span."""


class Selection(NamedTuple):
    """The buckets of one series that a request selects.

    `first` and `last` are bucket starts. `last` may be before `first`, or in the future. `closed`
    is the newest bucket that had ended, by our clock, at `now`, the unix time of the request.
    `history_days` is the number of days served. The reply holds the first `limit` rows, ascending
    or `descending`; all of them where `limit` is None.
    """

    series: Series
    first: int
    last: int
    closed: int
    now: float
    history_days: int
    limit: int | None = None
    descending: bool = False

    @property
    def expected(self) -> int:
        """The number of selected buckets that have ended."""
        return self.series.interval.count(self.first, min(self.last, self.closed))

    @property
    def most_rows(self) -> int:
        """The most rows that the reply can have."""
        return self.expected if self.limit is None else min(self.limit, self.expected)

    def due(self, newest: int | None) -> int:
        """The newest selected bucket that should have a value.

        What has just ended is not due while it may not count yet (`UNCERTAIN`), unless it is
        stored: `newest` is the newest stored bucket.
        """
        due = self.closed
        if newest is not None and newest < due:
            due = max(newest, self.series.interval.last_closed(self.now - UNCERTAIN))
        return min(self.last, due)

    def missing(self, values: int, newest: int | None) -> int:
        """The number of selected buckets that should have a value, less these `values`."""
        return max(0, self.series.interval.count(self.first, self.due(newest)) - values)


class Reading(NamedTuple):
    """A rendered reply and what it says about the data.

    `body` shows the series at `state` in so many `rows`. `missing` counts the selected closed
    buckets without a value; up to the last row, where a limit left the buckets `rest` out.
    """

    body: bytes
    state: SeriesState
    rows: int
    missing: int
    rest: Span | None = None

    def shown(self, selection: Selection) -> Selection:
        """The selection without the rest."""
        if self.rest is None:
            return selection
        step = selection.series.step
        if selection.descending:
            return selection._replace(first=self.rest.last + step)
        return selection._replace(last=self.rest.first - step)


def select(
    series: Series,
    since: Moment | None,
    until: Moment | None,
    history_days: int,
    now: float,
    limit: int | None = None,
    *,
    descending: bool = False,
) -> Selection:
    """Select the buckets from `since` to `until`, both inclusive. None means the default.

    `until` defaults to the last closed bucket. `since` defaults to `history_days` - 1 days before
    `until`. Without a limit that is at most `MAX_POINTS` buckets. Raises ReversedPeriod.
    """
    interval = series.interval
    closed = interval.last_closed(now)
    require_order(since, until)
    last = closed if until is None else interval.floor(until.last)
    if since is not None:
        first = interval.ceil(since.first)
    else:
        newest = min(last, closed)
        first = max(0, newest - (history_days - 1) * DAY)
        if limit is None:
            first = max(first, newest - (MAX_POINTS - 1) * interval.seconds)
    return Selection(series, first, last, closed, now, history_days, limit, descending)


def next_change(interval: Interval, now: float) -> int:
    """The next moment at which a reply may differ although no data has changed.

    A bucket ends; the bucket that has ended counts as missing; the series becomes stale.
    """
    delays = (0, UNCERTAIN, grace_of(interval))
    return min(interval.floor(now - delay) + interval.seconds + delay for delay in delays)


def read_averages(
    store: SeriesStore,
    averages: AverageStore,
    window: Window,
    selection: Selection,
    layout: Layout = PLAIN,
) -> Reading:
    """Read the averages of one window in the selected buckets.

    Raises InvalidParameter if the reply would span more than `MAX_POINTS` buckets without a limit,
    and StoreError.
    """
    span = limited(averages, selection)
    if layout == PLAIN and selection.limit is None and not selection.descending:
        return _reading(averages.read(selection.series, window, *span), selection)
    state, means = store.means(
        selection.series, window, *span, _one_more(selection), descending=selection.descending
    )
    return _page(("mms",), means, state, selection, layout)


def warm_averages(averages: WarmAverages, window: Window, selection: Selection) -> Reading | None:
    """What `read_averages` returns, if it takes neither a wait nor a refusal."""
    first, ended = _possible(selection)
    state = averages.warm_state(selection.series)
    if state is None or ended > MAX_POINTS:
        return None
    values = averages.warm_read(selection.series, window, first, selection.last, state)
    return None if values is None else _reading(values, selection)


def _reading(values: AverageSlice, selection: Selection) -> Reading:
    missing = selection.missing(values.count, values.state.last)
    return Reading(values.body, values.state, values.count, missing)


def read_candles(
    store: SeriesStore,
    averages: AverageStore,
    windows: Sequence[Window],
    selection: Selection,
    layout: Layout = PLAIN,
) -> Reading:
    """Read the stored candles of the selected buckets, each with its averages over `windows`.

    Raises the same errors as `read_averages`.
    """
    span = limited(averages, selection)
    state, candles = store.rows(
        selection.series, *span, _one_more(selection), descending=selection.descending
    )
    columns = [WINDOWS.index(window) for window in windows]
    rows = [_row(candle, row, columns) for candle, row in candles]
    names = (*_CANDLE, *(f"mms_{window}" for window in windows))
    return _page(names, rows, state, selection, layout)


_CANDLE: Final = ("open", "high", "low", "close", "volume")


def _row(candle: Candle, averages: AverageRow, columns: Sequence[int]) -> Row:
    prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    numbers: tuple[Exact | None, ...] = (*prices, *[averages.values[n] for n in columns])
    return (candle.bucket, *numbers)


def _one_more(selection: Selection) -> int | None:
    """How many rows to read: the one after the limit says that there is a rest."""
    return None if selection.limit is None else selection.limit + 1


def _page(
    names: Sequence[str],
    rows: Sequence[Row],
    state: SeriesState,
    selection: Selection,
    layout: Layout,
) -> Reading:
    """The reading of these rows, one more than the limit where there is a rest."""
    rest = None
    if selection.limit is not None and len(rows) > selection.limit:
        rows = rows[: selection.limit]
        end, step = rows[-1][0], selection.series.step
        rest = Span(end + step, selection.last)
        if selection.descending:
            rest = Span(selection.first, end - step)
    reading = Reading(table(names, rows, layout), state, len(rows), 0, rest)
    missing = reading.shown(selection).missing(len(rows), state.last)
    return reading._replace(missing=missing)


def limited(averages: AverageStore, selection: Selection, *, has_limit: bool = True) -> Span:
    """Limit the selection to buckets that can hold a value.

    Raises InvalidParameter if that leaves more than `MAX_POINTS`, and no limit is asked for; it
    names the parameter `limit` if the request `has_limit`. The series' bounds are read from the
    store only if the period is too long.
    """
    first, ended = _possible(selection)
    if ended <= MAX_POINTS or selection.limit is not None:
        return Span(first, selection.last)
    state = averages.state(selection.series)
    if state.first is None or state.last is None:
        return Span(first, selection.last)
    interval = selection.series.interval
    first, last = max(first, state.first), min(selection.last, state.last)
    count = interval.count(first, last)
    if count > MAX_POINTS:
        part = first + (MAX_POINTS - 1) * interval.seconds
        pages = f"Add limit={MAX_POINTS} and follow the Link header, or ask" if has_limit else "Ask"
        raise InvalidParameter(
            f"from and to span {count:,} stored buckets of {interval}; one reply holds at most "
            f"{MAX_POINTS:,}. {pages} in parts, beginning with from={first}&to={part}."
        )
    return Span(first, last)


def _possible(selection: Selection) -> tuple[int, int]:
    """The first selected bucket that is not before all trade; how many from there have ended."""
    first = max(selection.first, OLDEST_BUCKET)
    ended = min(selection.last, selection.closed)
    return first, selection.series.interval.count(first, ended)
