"""Read what a picture of a series shows, and draw it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.market import AverageRow, Candle, SeriesState, Window
from app.core.ports import SeriesStore
from app.domain.gaps import missing
from app.domain.picture.content import Hole, Picture
from app.domain.picture.drawing import draw
from app.domain.picture.themes import Theme
from app.domain.picture.words import Language
from app.services.averages import Reading, Selection
from app.services.gaps import explain, is_stale
from app.services.reasons import why_absent

_REVISIONS: Final = 1_000
"""The newest changes of candles that are read; a picture marks those in its period."""

Rows = Sequence[tuple[Candle, AverageRow]]


def read_picture(
    store: SeriesStore,
    selection: Selection,
    windows: tuple[Window, ...],
    theme: Theme,
    language: Language,
) -> Reading:
    """Draw the selected buckets, which end with the last closed one, as SVG. Raises StoreError."""
    series = selection.series

    def read(one: SeriesStore) -> tuple[SeriesState, Rows, list[Hole], frozenset[int]]:
        state, rows = one.rows(series, selection.first, selection.last)
        holes = _holes(one, selection, state, rows)
        revised = frozenset(change.new.bucket for change in one.revisions(series, _REVISIONS))
        return state, rows, holes, revised

    state, rows, holes, revised = store.together(read)
    absent = selection.missing(len(rows), state.last)
    picture = Picture(
        series=series,
        first=selection.first,
        last=selection.last,
        rows=rows,
        windows=windows,
        holes=holes,
        revised=revised,
        expected=selection.expected,
        missing=absent,
        as_of=state.last,
        stale=is_stale(state, series.interval, selection.now),
        reason=why_absent(selection, state, None, 0) if not rows else None,
    )
    return Reading(draw(picture, theme, language).encode(), state, len(rows), absent)


def _holes(store: SeriesStore, selection: Selection, state: SeriesState, rows: Rows) -> list[Hole]:
    """The selected buckets that should have a candle and have none, with their causes."""
    series, buckets = selection.series, [candle.bucket for candle, _ in rows]
    spans = missing(selection.first, selection.due(state.last), series.step, buckets)
    if not spans:
        return []
    period = spans[0].first, spans[-1].last
    absent = store.absences(series, *period)
    refused = store.quarantined(series, *period, notes=False)
    gaps = explain(spans, absent, refused, series.step, selection.first)
    return [Hole(gap.first, gap.last, gap.count, gap.cause.value) for gap in gaps]
