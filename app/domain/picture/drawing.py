"""Draw a series as SVG: candles, volumes and averages, and all that is missing or unfinished.

A candle is hollow where the close is not below the open, else filled. Where its body would be
narrower than 2 px, there are no candles: a band goes from low to high, and a line through the
closes. Of what lies in one column of 1 px then, the band has the lowest and the highest price, the
lines have the last value, and the volume is the largest one.

A line ends at a bucket without its value. A bucket without a candle is shaded from edge to edge.
The one that has not ended is an empty slot. There is no style, script, font or address in it, so
that any page may show it, and it is the same text for the same values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Final

from app.core.market import WINDOWS
from app.domain.fixed_point import in_one_unit
from app.domain.picture.content import Hole, Picture, by_cause, closing, named, summary
from app.domain.picture.layout import (
    BOTTOM,
    HEIGHT,
    LEFT,
    LETTER,
    PRICES,
    PX,
    RIGHT,
    RUNNING,
    TOP,
    VOLUMES,
    WIDTH,
)
from app.domain.picture.legend import legend
from app.domain.picture.scales import (
    TimeScale,
    ValueScale,
    price_scale,
    price_ticks,
    time_ticks,
)
from app.domain.picture.shapes import Bar, bars, boxes, columns, line, runs, triangles
from app.domain.picture.svg import element, hatched, label, stroke, tag
from app.domain.picture.themes import COLOURS, Colours, Theme
from app.domain.picture.words import WORDS, Language, Words

NARROWEST: Final = 2 * PX
"""The narrowest body of a candle."""

MOST_TITLES: Final = 100
"""Holes that have a title each; more of them are one shape for each cause."""


def draw(picture: Picture, theme: Theme, language: Language) -> str:
    """Draw the picture as an SVG document, which ends with a line feed."""
    words, colours = WORDS[language], COLOURS[theme]
    parts = [
        tag("title", words.say("title", **named(picture))),
        tag("desc", summary(picture, words)),
        tag("rect", width=WIDTH, height=HEIGHT, fill=colours.background),
        *_head(picture, words, colours),
        *(_body(picture, words, colours) if picture.rows else _empty(picture, words, colours)),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH // PX}" height="{HEIGHT // PX}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" lang="{language.value}" '
        f'font-family="system-ui,sans-serif" font-size="{12 * PX}" fill="{colours.text}">'
        f"{''.join(parts)}</svg>\n"
    )


def _head(picture: Picture, words: Words, colours: Colours) -> Iterable[str]:
    """The name of the series, how fresh it is, and the sentence."""
    name = words.say("title", **named(picture))
    yield label(name, LEFT, 34 * PX, font_size=20 * PX, font_weight="bold")
    fresh = ""
    if picture.stale:
        yield tag("rect", width=WIDTH, height=5 * PX, fill=colours.down)
        fresh += tag("tspan", words.say("stale"), fill=colours.down, font_weight="bold")
    if picture.as_of is not None:
        moment = words.moment(picture.as_of, picture.series.step)
        separator = " · " if fresh else ""
        fresh += tag("tspan", separator + words.say("as_of", moment=moment), fill=colours.muted)
    yield element("text", fresh, x=WIDTH - LEFT, y=32 * PX, text_anchor="end", font_size=13 * PX)
    if picture.rows:
        said = closing(picture, words)
        yield label(f"{said[0].upper()}{said[1:]}.", LEFT, 58 * PX, font_size=13 * PX)


def _empty(picture: Picture, words: Words, colours: Colours) -> Iterable[str]:
    """Why there is nothing, in the place of the axes. Reasons are English in every language."""
    middle, y = WIDTH // 2, 220 * PX
    yield label(words.say("empty"), middle, y, text_anchor="middle", font_size=17 * PX)
    for number, part in enumerate(wrap(picture.reason or "", 120), 1):
        below = y + number * 22 * PX
        yield label(
            part, middle, below, text_anchor="middle", font_size=14 * PX, fill=colours.muted,
            lang="en",
        )  # fmt: skip


# What is drawn.


def _body(picture: Picture, words: Words, colours: Colours) -> Iterable[str]:
    step = picture.series.step
    count = picture.series.interval.count(picture.first, picture.last)
    running = max(RUNNING, (RIGHT - LEFT) // (count + 1))
    times = TimeScale(picture.first, step, count, LEFT, RIGHT - LEFT - running)
    scale = price_scale(_prices(picture), TOP, PRICES)
    width = times.width // count * 7 // 10
    banded = width < NARROWEST
    yield from _axes(times, scale, words, colours)
    yield from _holes(picture.holes, times, words, colours)
    yield _volumes(picture, times, banded, width, words, colours)
    if banded:
        yield from _band(picture, times, scale, colours)
    else:
        yield from _candles(picture, times, scale, width, colours)
    column = PX if banded else 1
    absent = set()
    for window in picture.windows:
        index = WINDOWS.index(window)
        values = ((candle.bucket, row.values[index]) for candle, row in picture.rows)
        path = line(runs(values, times, scale, column))
        if not path:
            absent.add(window)
            continue
        yield stroke(path, colours.lines[window], 16)
    tips = [
        (times.centre(candle.bucket), scale.y(candle.high) - 4 * PX)
        for candle, _ in picture.rows
        if candle.bucket in picture.revised
    ]
    if tips:
        yield tag("path", d=triangles(tips, 9 * PX))
    yield from _running(running, words, colours)
    yield from legend(picture, banded, absent, len(tips), words, colours)


def _prices(picture: Picture) -> Iterable[int]:
    """All prices that the picture shows."""
    indices = [WINDOWS.index(window) for window in picture.windows]
    for candle, row in picture.rows:
        yield candle.low
        yield candle.high
        yield from (mean for index in indices if (mean := row.values[index]) is not None)


def _axes(times: TimeScale, scale: ValueScale, words: Words, colours: Colours) -> Iterable[str]:
    """The lines and labels of round prices and times."""
    ticks, places = price_ticks(scale, 7)
    last = times.first + (times.count - 1) * times.step
    moments, apart = time_ticks(times.first, last, times.step, 10)
    lines = [f"M{LEFT} {scale.y(tick)}H{RIGHT}" for tick in ticks]
    lines += [f"M{times.centre(at)} {TOP}V{BOTTOM}" for at in moments]
    lines.append(f"M{LEFT} {BOTTOM}H{RIGHT}")
    yield tag("path", d="".join(lines), stroke=colours.grid, stroke_width=PX)
    labels = [label(words.decimal(t, places), RIGHT + 6 * PX, scale.y(t) + 4 * PX) for t in ticks]
    yield element("g", "".join(labels), fill=colours.muted)
    y = BOTTOM + 18 * PX
    names = [(words.tick(at, apart), times.centre(at)) for at in moments]
    # The first one stays inside the picture.
    labels = [label(name, max(x, len(name) * LETTER // 2), y) for name, x in names]
    yield element("g", "".join(labels), fill=colours.muted, text_anchor="middle")
    yield label("UTC", WIDTH - LEFT, y, fill=colours.muted, text_anchor="end")


def _holes(
    holes: Sequence[Hole], times: TimeScale, words: Words, colours: Colours
) -> Iterable[str]:
    """The shades over the buckets without a candle; a pixel wide at least."""
    if not holes:
        return
    hatch = tag("path", d="M0 60L60 0", stroke=colours.hole, stroke_width=12)
    pattern = element(
        *("pattern", hatch), id="hole", width=60, height=60, patternUnits="userSpaceOnUse"
    )
    yield element("defs", pattern)
    if len(holes) <= MOST_TITLES:
        for hole in holes:
            title = tag("title", _told(hole, times.step, words))
            yield hatched(_shade(hole, times), colours.hole, title)
        return
    for cause, count in by_cause(holes).items():
        title = words.say("hole_of_many", cause=words.say(cause), count=words.whole(count))
        path = "".join(_shade(hole, times) for hole in holes if hole.cause == cause)
        yield hatched(path, colours.hole, tag("title", title))


def _shade(hole: Hole, times: TimeScale) -> str:
    left, right = times.edge(hole.first), times.edge(hole.last + times.step)
    return f"M{left} {TOP}H{max(right, left + PX)}V{BOTTOM}H{left}z"


def _told(hole: Hole, step: int, words: Words) -> str:
    first, last = words.moment(hole.first, step), words.moment(hole.last, step)
    return words.count("hole", hole.count, cause=words.say(hole.cause), first=first, last=last)


def _volumes(
    picture: Picture, times: TimeScale, banded: bool, width: int, words: Words, colours: Colours
) -> str:
    """The volumes that there are, as bars. They have no axis: the highest one is as high as all."""
    known = [(candle.bucket, candle.volume) for candle, _ in picture.rows]
    pairs = [(bucket, volume) for bucket, volume in known if volume is not None]
    volumes = in_one_unit([volume for _, volume in pairs])
    scale = ValueScale(0, max(volumes, default=0) or 1, VOLUMES, BOTTOM - VOLUMES)
    each: Iterable[Bar] = (
        Bar(times.centre(bucket), scale.y(volume), BOTTOM)
        for (bucket, _), volume in zip(pairs, volumes, strict=True)
        if volume
    )
    if banded:
        each, width = columns(each, PX), max(PX, times.width // times.count)
    name = label(words.say("volume"), RIGHT + 6 * PX, VOLUMES + 14 * PX, fill=colours.muted)
    path = bars(each)
    return name + (
        tag("path", d=path, stroke=colours.muted, stroke_opacity=".55", stroke_width=width)
        if path
        else ""
    )


def _candles(
    picture: Picture, times: TimeScale, scale: ValueScale, width: int, colours: Colours
) -> Iterable[str]:
    for rising, colour in ((True, colours.up), (False, colours.down)):
        of_kind = [c for c, _ in picture.rows if (c.close >= c.open) is rising]
        if not of_kind:
            continue
        wicks = [Bar(times.centre(c.bucket), scale.y(c.high), scale.y(c.low)) for c in of_kind]
        bodies = [
            Bar(times.centre(c.bucket), *sorted((scale.y(c.open), scale.y(c.close))))
            for c in of_kind
        ]
        inside = colours.background if rising else colour
        yield element(
            "g",
            tag("path", d=bars(wicks)) + tag("path", d=boxes(bodies, width - PX)),
            fill=inside,
            stroke=colour,
            stroke_width=PX,
        )


def _band(picture: Picture, times: TimeScale, scale: ValueScale, colours: Colours) -> Iterable[str]:
    each = (
        Bar(times.centre(candle.bucket), scale.y(candle.high), scale.y(candle.low))
        for candle, _ in picture.rows
    )
    width = max(PX, times.width // times.count + 1)
    path = bars(columns(each, PX))
    yield tag("path", d=path, stroke=colours.muted, stroke_opacity=".35", stroke_width=width)
    closes = ((candle.bucket, candle.close) for candle, _ in picture.rows)
    yield stroke(line(runs(closes, times, scale, PX)), colours.text, 12)


def _running(width: int, words: Words, colours: Colours) -> Iterable[str]:
    """The slot of the bucket that has not ended: empty, because nothing of it is final."""
    left, middle = RIGHT - width, RIGHT - width // 2
    yield tag(
        "path", d=f"M{left} {TOP}H{RIGHT}V{BOTTOM}H{left}z", fill="none", stroke=colours.muted,
        stroke_width=PX, stroke_dasharray="40 40",
    )  # fmt: skip
    y = TOP + PRICES // 2
    yield label(
        words.say("running"), middle, y, fill=colours.muted, text_anchor="middle",
        dominant_baseline="central", font_size=11 * PX, transform=f"rotate(-90 {middle} {y})",
    )  # fmt: skip
