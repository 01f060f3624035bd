"""The shapes of a picture as the data of SVG paths: many candles are one path.

Coordinates are whole units. A path moves relatively, because small numbers take few bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from app.domain.picture.scales import TimeScale, ValueScale

Point = tuple[int, int]


class Bar(NamedTuple):
    """An upright bar from `top` to `bottom`, in the middle of a slot."""

    x: int
    top: int
    bottom: int


def bars(each: Iterable[Bar]) -> str:
    """Bars, whose width is that of the stroke."""
    parts, x, y = [], 0, 0
    for bar in each:
        parts.append(f"m{_pair(bar.x - x, bar.top - y)}v{bar.bottom - bar.top}")
        x, y = bar.x, bar.bottom
    return "".join(parts)


def boxes(each: Iterable[Bar], width: int) -> str:
    """Bars as boxes of this width."""
    parts, x, y, left = [], 0, 0, width // 2
    for bar in each:
        height = bar.bottom - bar.top
        parts.append(f"m{_pair(bar.x - left - x, bar.top - y)}h{width}v{height}h{-width}z")
        x, y = bar.x - left, bar.top
    return "".join(parts)


def triangles(tips: Iterable[Point], width: int) -> str:
    """Triangles that point down to these tips."""
    half = width // 2
    return "".join(f"M{_pair(x, y)}l{_pair(-half, -width)}h{width}z" for x, y in tips)


def line(runs: Iterable[Sequence[Point]]) -> str:
    """A line through the points of each run; a run of one point is a dot."""
    parts = []
    for run in runs:
        x, y = run[0]
        parts.append(f"M{_pair(x, y)}l")
        steps = []
        for to_x, to_y in run[1:] or run:
            steps.append(_pair(to_x - x, to_y - y))
            x, y = to_x, to_y
        parts.append(" ".join(steps).replace(" -", "-"))
    return "".join(parts)


def runs(
    values: Iterable[tuple[int, int | None]], times: TimeScale, scale: ValueScale, column: int
) -> list[list[Point]]:
    """The points of (bucket, value), a run for each stretch of neighbours that have a value.

    Of the points of a run that lie in one column of so many units, the last one is kept.
    """
    every: list[list[Point]] = []
    before: int | None = None
    for bucket, value in values:
        if value is None:
            continue
        x, y = times.centre(bucket), scale.y(value)
        if before is None or bucket != before + times.step:
            every.append([(x, y)])
        elif len(every[-1]) > 1 and every[-1][-1][0] // column == x // column:
            every[-1][-1] = (x, y)
        else:
            every[-1].append((x, y))
        before = bucket
    return every


def columns(each: Iterable[Bar], column: int) -> list[Bar]:
    """The bars, joined where they lie in one column of so many units."""
    joined = []
    for _, group in groupby(each, lambda bar: bar.x // column):
        members = list(group)
        tops, bottoms = (bar.top for bar in members), (bar.bottom for bar in members)
        joined.append(Bar((members[0].x + members[-1].x) // 2, min(tops), max(bottoms)))
    return joined


def _pair(x: int, y: int) -> str:
    return f"{x}{y}" if y < 0 else f"{x} {y}"
