"""Read a series: which buckets a request selects, and what the reply holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.errors import InvalidParameter
from app.core.market import (
    DAY,
    OLDEST_BUCKET,
    AverageSlice,
    Interval,
    Series,
    SeriesState,
    Window,
)
from app.core.ports import AverageStore, SeriesStore, WarmAverages
from app.domain import rendering
from app.domain.candles import UNCERTAIN
from app.domain.gaps import Span
from app.domain.times import LATEST, Moment, iso, require_order, served_period, warmed_up
from app.services.gaps import grace_of

MAX_POINTS: Final = 10_000
"""The most buckets that one reply may span."""


class Selection(NamedTuple):
    """The buckets of one series that a request selects.

    `first` and `last` are bucket starts. `last` may be before `first`, or in the future. `closed`
    is the newest bucket that had ended, by our clock, at `now`, the unix time of the request.
    `history_days` is the number of days served.
    """

    series: Series
    first: int
    last: int
    closed: int
    now: float
    history_days: int

    @property
    def expected(self) -> int:
        """The number of selected buckets that have ended."""
        return self.series.interval.count(self.first, min(self.last, self.closed))

    def missing(self, values: int, newest: int | None) -> int:
        """The number of selected buckets that should have a value, less these `values`.

        What has just ended is not missing while it may not count yet (`UNCERTAIN`), unless it is
        stored: `newest` is the newest stored bucket.
        """
        interval, due = self.series.interval, self.closed
        if newest is not None and newest < due:
            due = max(newest, interval.last_closed(self.now - UNCERTAIN))
        return max(0, interval.count(self.first, min(self.last, due)) - values)


class Reading(NamedTuple):
    """A rendered reply and what it says about the data.

    `body` shows the series at `state` and holds that many `values`. `missing` counts the selected
    closed buckets without a value.
    """

    body: bytes
    state: SeriesState
    missing: int
    values: int


def select(
    series: Series,
    since: Moment | None,
    until: Moment | None,
    history_days: int,
    now: float,
) -> Selection:
    """Select the buckets from `since` to `until`, both inclusive. None means the default.

    `until` defaults to the last closed bucket. `since` defaults to `history_days` - 1 days before
    `until`, or to the oldest bucket that `MAX_POINTS` allows, if that is later. Raises
    ReversedPeriod.
    """
    interval = series.interval
    closed = interval.last_closed(now)
    require_order(since, until)
    last = closed if until is None else interval.floor(until.last)
    if since is None:
        newest = min(last, closed)
        days = newest - (history_days - 1) * DAY
        points = newest - (MAX_POINTS - 1) * interval.seconds
        return Selection(series, max(0, days, points), last, closed, now, history_days)
    return Selection(series, interval.ceil(since.first), last, closed, now, history_days)


def next_change(interval: Interval, now: float) -> int:
    """The next moment at which a reply may differ although no data has changed.

    A bucket ends; the bucket that has ended counts as missing; the series becomes stale.
    """
    delays = (0, UNCERTAIN, grace_of(interval))
    return min(interval.floor(now - delay) + interval.seconds + delay for delay in delays)


def read_averages(averages: AverageStore, window: Window, selection: Selection) -> Reading:
    """Read the averages of one window in the selected buckets.

    Raises InvalidParameter if the reply would span more than `MAX_POINTS` buckets, and StoreError.
    """
    span = limited(averages, selection)
    return _reading(averages.read(selection.series, window, *span), selection)


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
    return Reading(values.body, values.state, missing, values.count)


def read_candles(
    store: SeriesStore, averages: AverageStore, windows: Sequence[Window], selection: Selection
) -> Reading:
    """Read the stored candles of the selected buckets, each with its averages over `windows`.

    Raises the same errors as `read_averages`.
    """
    span = limited(averages, selection)
    state, rows = store.rows(selection.series, span.first, span.last)
    body = rendering.candles(rows, windows)
    return Reading(body, state, selection.missing(len(rows), state.last), len(rows))


def nothing_stored(series: Series, checked_at: int | None, first_tried_at: int | None) -> str:
    """Say why a read of this series is empty, from the times in its state (SeriesState)."""
    nothing = f"Nothing is stored for {series.pair} at {series.interval}"
    if checked_at is not None:
        return f"{nothing}: the exchange had no candle of it at {iso(checked_at)}."
    if first_tried_at is not None:
        since = iso(first_tried_at)
        return f"{nothing} yet: the service has been asking the exchange for it since {since}."
    return f"{nothing} yet: no load of it has begun. The operator of this service starts loads."


def why_absent(
    selection: Selection,
    state: SeriesState,
    window: Window | None = None,
    rows: int | None = None,
) -> str | None:
    """Say why the first selected buckets, or all of them, have no value; None where nothing is odd.

    With `window`, the value is the average over it. `rows` is the number of values in the reply; a
    reply without any always has a reason. Otherwise a missing value is a gap, unless the period
    begins before all that can have one. The text is for readers of the API: no command, and a
    setting is named as the operator's. More HISTORY_DAYS help only if loads have not asked for
    these buckets before. Apart from the pair's name it is ASCII, at most 300 characters.
    """
    if state.first is None or state.last is None:
        return nothing_stored(selection.series, state.checked_at, state.first_tried_at)
    stored = Span(state.first, state.last)
    if rows == 0:
        reason = _not_ended(selection) or _too_few(selection, stored, window)
        if reason is not None:
            return reason
    if selection.first < _begins(selection, stored, window) and selection.expected > 0:
        return _before_all(selection, stored, window)
    if rows != 0:
        return None
    if selection.first > stored.last:
        return _after_all(selection, stored, state.checked_at)
    series, what = selection.series, "a candle"
    if window is not None:
        what = f"all {window} candles that its average needs"
    return (
        f"No bucket of the period has {what}: GET /{series.pair}/gaps?interval={series.interval} "
        "says what is missing, and why."
    )


def _warm_up(selection: Selection, window: Window | None) -> int:
    """The seconds between the first candle and the first value."""
    return 0 if window is None else (window - 1) * selection.series.step


def _begins(selection: Selection, stored: Span, window: Window | None) -> int:
    """The first bucket that can have a value."""
    return stored.first + _warm_up(selection, window)


def _not_ended(selection: Selection) -> str | None:
    """Why no bucket of the period has ended; None where one has."""
    interval, first = selection.series.interval, selection.first
    if first > selection.closed + interval.seconds:
        return (
            f"The period is in the future: it begins with the bucket of {iso(min(first, LATEST))}, and "
            f"the newest that has ended is that of {iso(selection.closed)}."
        )
    if first > selection.closed:
        return (
            f"No bucket that has ended begins in the period: that of {iso(first)} ends at "
            f"{iso(first + interval.seconds)}."
        )
    if selection.last < first:
        return (
            f"No bucket of {interval} begins in the period, and a bucket belongs to the moment at "
            f"which it begins: the next one is that of {iso(first)}."
        )
    return None


def _too_few(selection: Selection, stored: Span, window: Window | None) -> str | None:
    """Why no average over `window` can exist yet; None where one can."""
    series, begins = selection.series, _begins(selection, stored, window)
    if window is None or begins <= stored.last:
        return None
    return (
        f"An average over {window} needs {window} candles in a row, and those of {series.pair} at "
        f"{series.interval} begin at {iso(stored.first)}, at most {series.interval.count(*stored)} "
        f"until now: the first average can be that of {iso(begins)}."
    )


def _before_all(selection: Selection, stored: Span, window: Window | None) -> str:
    """What is stored, and who knows of older values."""
    series, averages = selection.series, ""
    if window is not None:
        begins = iso(_begins(selection, stored, window))
        averages = f"; the first average over {window} can be that of {begins}"
    served = served_period(series.interval, selection.history_days, selection.now)
    loaded = warmed_up(served, series.interval).first
    # Nobody may have traded in the first hours of what was loaded. A day without a candle is more.
    asked = selection.first - _warm_up(selection, window) >= loaded
    if asked or stored.first > loaded + DAY:
        further = (
            "What is older is not loaded yet, or the exchange does not have it: GET "
            f"/{series.pair}/gaps?interval={series.interval} says which."
        )
    else:
        further = (
            f"The service keeps {selection.history_days} days; only its operator can have it load "
            "more (HISTORY_DAYS)."
        )
    return (
        f"{series.pair} at {series.interval} is stored from {iso(stored.first)} to "
        f"{iso(stored.last)}{averages}. {further}"
    )


def _after_all(selection: Selection, stored: Span, checked_at: int | None) -> str:
    """What is stored, and since when nothing newer has come."""
    checked = "No load has reached the exchange's newest candle yet."
    if checked_at is not None:
        checked = f"The service last had all that the exchange has at {iso(checked_at)}."
    series = selection.series
    return (
        f"The newest stored bucket of {series.pair} at {series.interval} is that of "
        f"{iso(stored.last)}, and the period begins after it. {checked}"
    )


def limited(averages: AverageStore, selection: Selection) -> Span:
    """Limit the selection to buckets that can hold a value.

    Raises InvalidParameter if that leaves more than `MAX_POINTS`. The series' bounds are read from
    the store only if the period is too long.
    """
    first, ended = _possible(selection)
    if ended <= MAX_POINTS:
        return Span(first, selection.last)
    state = averages.state(selection.series)
    if state.first is None or state.last is None:
        return Span(first, selection.last)
    interval = selection.series.interval
    first, last = max(first, state.first), min(selection.last, state.last)
    count = interval.count(first, last)
    if count > MAX_POINTS:
        part = first + (MAX_POINTS - 1) * interval.seconds
        raise InvalidParameter(
            f"from and to span {count:,} stored buckets of {interval}; one reply holds at most "
            f"{MAX_POINTS:,}. Ask in parts, beginning with from={first}&to={part}."
        )
    return Span(first, last)


def _possible(selection: Selection) -> tuple[int, int]:
    """The first selected bucket that is not before all trade; how many from there have ended."""
    first = max(selection.first, OLDEST_BUCKET)
    ended = min(selection.last, selection.closed)
    return first, selection.series.interval.count(first, ended)
