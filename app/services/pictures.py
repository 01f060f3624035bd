"""Read what a picture of a series shows."""

from __future__ import annotations

from typing import NamedTuple

from app.core.market import Series
from app.core.ports import SeriesStore
from app.domain.gaps import missing
from app.domain.picture import Hole, Scene
from app.services.averages import Selection
from app.services.gaps import due_period, explain, is_stale
from app.services.reasons import why_absent

_REVISIONS = 1_000


class View(NamedTuple):
    """A scene, and what its data are; see the headers of a read."""

    scene: Scene
    as_of: int | None
    missing: int
    reason: str | None


def read_view(store: SeriesStore, selection: Selection) -> View:
    """Read the candles and averages of the selected buckets, and all that explains them.

    Raises StoreError.
    """
    return store.together(lambda one: _read(one, selection))


def _read(store: SeriesStore, selection: Selection) -> View:
    series, first, last, now = selection.series, selection.first, selection.last, selection.now
    state, rows = store.rows(series, first, last)
    due = due_period(store, series, state, selection.history_days, now)
    buckets = [candle.bucket for candle, _ in rows]
    reason = why_absent(selection, state, None, len(rows))
    scene = Scene(
        series,
        first,
        last,
        rows,
        holes=_holes(store, series, first, min(last, due.last), buckets) if rows else (),
        revised=[
            revision.old.bucket
            for revision in store.revisions(series, _REVISIONS)
            if first <= revision.old.bucket <= last
        ],
        stale=is_stale(state, series.interval, now),
        message=reason,
    )
    absent = sum(hole.count for hole in scene.holes)
    return View(scene, state.last, absent if rows else selection.expected, reason)


def _holes(
    store: SeriesStore, series: Series, first: int, last: int, buckets: list[int]
) -> list[Hole]:
    """The buckets without a candle, with their causes."""
    spans = missing(first, last, series.step, buckets)
    if not spans:
        return []
    gaps = explain(
        spans,
        store.absences(series, first, last),
        store.quarantined(series, first, last, notes=False),
        series.step,
        first,
    )
    return [Hole(gap.first, gap.last, gap.count, gap.cause.value) for gap in gaps]
