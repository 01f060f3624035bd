"""Read the newest candle of a series: its averages, where it lies, and what has just crossed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.core.market import AverageRow, Candle, Series, SeriesState
from app.core.ports import SeriesStore
from app.domain.crossings import LINES, Levels, Trend, crossings, distance, trend
from app.domain.times import LATEST, served_period
from app.services.averages import Selection, nothing_stored
from app.services.gaps import is_stale


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest stored candle of a series, and the one stored before it; None where there is none.

    `missing` counts the closed buckets after it that are due; all served ones where nothing is
    stored. `stale` comes from `app.services.gaps.is_stale`. `message` says what is absent and where
    to see why; None if everything is there.
    """

    series: Series
    newest: Levels | None
    previous: Levels | None
    missing: int
    stale: bool
    message: str | None

    @property
    def as_of(self) -> int | None:
        """The newest stored bucket."""
        return None if self.newest is None else self.newest.bucket

    @property
    def crossed(self) -> tuple[str, ...]:
        """What has crossed between the two; see `app.domain.crossings.crossings`."""
        if self.newest is None or self.previous is None:
            return ()
        return crossings(self.previous, self.newest, self.series.step)

    @property
    def distance(self) -> str | None:
        """How far the close lies from the longest average; None where that does not exist."""
        newest = self.newest
        if newest is None or newest.averages[-1] is None:
            return None
        return distance(newest.close, newest.averages[-1])

    @property
    def trend(self) -> Trend | None:
        """On which side of the longest average the close lies; None where that does not exist."""
        newest = self.newest
        if newest is None or newest.averages[-1] is None:
            return None
        return trend(newest.close, newest.averages[-1])


def read_latest(store: SeriesStore, series: Series, history_days: int, now: float) -> Latest:
    """Read the newest candle of the series at the unix time `now`. Raises StoreError."""
    state, rows = store.rows(series, 0, LATEST, limit=2, descending=True)
    newest, previous, *_ = (*(_levels(*row) for row in rows), None, None)
    return Latest(
        series,
        newest,
        previous,
        missing=_missing(series, state, history_days, now),
        stale=is_stale(state, series.interval, now),
        message=_message(series, state, newest, previous),
    )


def read_latest_of_all(
    store: SeriesStore, every: Iterable[Series], history_days: int, now: float
) -> list[Latest]:
    """Read the newest candle of each series, all from one server. Raises StoreError."""
    every = tuple(every)
    return store.together(
        lambda one: [read_latest(one, series, history_days, now) for series in every]
    )


def _levels(candle: Candle, row: AverageRow) -> Levels:
    return Levels(candle.bucket, candle.close, row.values)


def _missing(series: Series, state: SeriesState, history_days: int, now: float) -> int:
    served = served_period(series.interval, history_days, now)
    first = served.first if state.last is None else state.last + series.step
    selection = Selection(series, first, served.last, served.last, now, history_days)
    return selection.missing(0, state.last)


def _message(
    series: Series, state: SeriesState, newest: Levels | None, previous: Levels | None
) -> str | None:
    """Say what is absent. Apart from the pair's name the text is ASCII, at most 300 characters."""
    if newest is None:
        return nothing_stored(series, state.checked_at, state.first_tried_at)
    said = []
    if previous is None:
        said.append("No candle is stored before this one, so crossings cannot be told.")
    elif previous.bucket != newest.bucket - series.step:
        said.append("The candle right before this one is missing, so crossings cannot be told.")
    absent = [name for name, mean in zip(LINES[1:], newest.averages, strict=True) if mean is None]
    if absent:
        said.append(
            f"{', '.join(absent)} cannot be computed: an average needs every candle of its window."
        )
    if not said:
        return None
    where = f"GET /{series.pair}/gaps?interval={series.interval} says what is missing."
    return " ".join((*said, where))
