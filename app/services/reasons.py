"""Say why a read has no values, for readers of the API: no command, and whose setting it is."""

from __future__ import annotations

from app.core.market import DAY, Series, SeriesState, Window
from app.domain.gaps import Span
from app.domain.times import LATEST, iso, served_period, warmed_up
from app.services.averages import Selection


def nothing_stored(series: Series, checked_at: int | None, first_tried_at: int | None) -> str:
    """Say why a read of this series is empty, from the times in its state (SeriesState)."""
    nothing = f"Nothing is stored for {series.pair} at {series.interval}"
    if checked_at is not None:
        return f"{nothing}: the exchange had no candle of it at {iso(checked_at)}."
    if first_tried_at is not None:
        since = iso(first_tried_at)
        return f"{nothing} yet: the service has been asking the exchange for it since {since}."
    return f"{nothing} yet: no load of it has begun. The operator of this service starts loads."


def no_records(series: Series, done: str) -> str:
    """Say why nothing is listed of the candles to which this was done."""
    return f"No candle of {series.pair} at {series.interval} has been {done} so far."


def no_prices(symbol: str, *, in_period: bool) -> str:
    """Say why there is no collected price of this symbol, at all or in the period asked for."""
    if in_period:
        return f"No price of {symbol} was collected in this period."
    return f"No price of {symbol} is stored yet. The operator of this service starts the collector."


def why_absent(
    selection: Selection, state: SeriesState, window: Window | None, rows: int
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
    # A period that begins in the running bucket, or now, has the bucket after that for its first.
    if first > selection.closed + 2 * interval.seconds:
        return (
            f"The period is in the future: it begins with the bucket of {iso(min(first, LATEST))}, and "
            f"the newest that has ended is that of {iso(selection.closed)}."
        )
    # A period without an end of its own ends with the newest bucket that has ended.
    if selection.last < first and selection.last != selection.closed:
        return (
            f"No bucket of {interval} begins in the period, and a bucket belongs to the moment at "
            f"which it begins: the next one is that of {iso(first)}."
        )
    if first > selection.closed:
        return (
            f"No bucket that has ended begins in the period: that of {iso(first)} ends at "
            f"{iso(first + interval.seconds)}."
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
