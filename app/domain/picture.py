"""Draw candles, averages and volume as SVG (W3C, SVG 1.1): one text, without styles or scripts.

Values are in 1e-8. Each closed bucket of the period has its slot, and so has the running one, which
is never drawn as a candle. Where a slot is too narrow for a candle, there is a band from the lows
to the highs, and the closes as a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from typing import Final, Literal

from app.core.market import DAY, AverageRow, Candle, Series, Window
from app.domain.crossings import distance
from app.domain.fixed_point import text
from app.domain.times import iso

Theme = Literal["light", "dark"]
Language = Literal["en", "pt-BR"]

WIDTH: Final = 960
HEIGHT: Final = 480

_LEFT, _RIGHT, _TOP, _BOTTOM = 16.0, 868.0, 60.0, 346.0
_VOLUME_TOP, _VOLUME_BOTTOM = 360.0, 420.0
_NARROWEST: Final = 2.0
"""Pixels of a slot below which no candle is drawn."""

_TICKS: Final = 6

Colours = Mapping[str, str]

COLOURS: Final[Mapping[Theme, Colours]] = {
    "light": {
        "background": "#ffffff",
        "text": "#1b2733",
        "muted": "#566270",
        "grid": "#e4e8ec",
        "up": "#0f8a6d",
        "down": "#c0362c",
        "bad": "#b3261e",
        "hole": "#b45309",
        "revised": "#7c3aed",
        "volume": "#b9c3cd",
        "mms_20": "#b45309",
        "mms_50": "#0b6bcb",
        "mms_200": "#7c3aed",
    },
    "dark": {
        "background": "#0f1720",
        "text": "#e6edf3",
        "muted": "#9aa7b4",
        "grid": "#22303c",
        "up": "#3fc79a",
        "down": "#ff7b72",
        "bad": "#ff9a92",
        "hole": "#f0b64a",
        "revised": "#c4a5ff",
        "volume": "#3a4b5a",
        "mms_20": "#f0b64a",
        "mms_50": "#5ab0ff",
        "mms_200": "#c4a5ff",
    },
}
"""The colours by what they stand for; `app/api/page/style.css` has the same."""

_MONTHS: Final[Mapping[Language, str]] = {
    "en": "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    "pt-BR": "jan fev mar abr mai jun jul ago set out nov dez",
}

_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "average": "average {window}",
        "as_of": "newest candle {time}",
        "stale": "STALE: nothing newer has arrived",
        "closed": "{symbol} closed at {price}",
        "above": ", {by} above its average of {window} candles",
        "below": ", {by} below its average of {window} candles",
        "missing": "{count} without a candle: {causes}",
        "running": "running",
        "revised": "revised",
        "never-fetched": "never asked for",
        "refused": "refused",
        "absent": "not at the exchange",
        "confirmed-absent": "confirmed absent at the exchange",
        "unreachable": "the exchange did not answer",
    },
    "pt-BR": {
        "average": "média {window}",
        "as_of": "último candle {time}",
        "stale": "DESATUALIZADO: nada mais novo chegou",
        "closed": "{symbol} fechou a {price}",
        "above": ", {by} acima da sua média de {window} candles",
        "below": ", {by} abaixo da sua média de {window} candles",
        "missing": "{count} sem candle: {causes}",
        "running": "em andamento",
        "revised": "revisado",
        "never-fetched": "nunca pedido",
        "refused": "recusado",
        "absent": "não está na bolsa",
        "confirmed-absent": "confirmado ausente na bolsa",
        "unreachable": "a bolsa não respondeu",
    },
}


@dataclass(frozen=True, slots=True)
class Hole:
    """A run of `count` buckets without a candle, and the name of its cause."""

    first: int
    last: int
    count: int
    cause: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What is seen: the closed buckets from `first` to `last` of a series, and the one after them.

    `rows` ascend, and are all within. `message` is shown where there are none. `revised` are
    buckets whose candle the exchange has changed.
    """

    series: Series
    first: int
    last: int
    rows: Sequence[tuple[Candle, AverageRow]]
    holes: Sequence[Hole]
    revised: Sequence[int]
    stale: bool
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """How it is drawn: the averages that are, by their place in a row; colours; language."""

    windows: Sequence[tuple[int, Window]]
    theme: Theme = "light"
    language: Language = "en"


def svg(scene: Scene, look: Look) -> str:
    """Draw the scene."""
    colours = COLOURS[look.theme]
    summary = escape(_summary(scene, look))
    title = escape(f"{scene.series.pair.symbol} {scene.series.interval}")
    inside = _drawn(scene, look) if scene.rows else _empty(scene, colours)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="t d" lang="{look.language}" '
        'font-family="system-ui, sans-serif" font-size="13">'
        f'<title id="t">{title}</title><desc id="d">{summary}</desc>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{colours["background"]}"/>'
        f'<text x="{_LEFT}" y="24" font-size="18" font-weight="600" fill="{colours["text"]}">'
        f"{title}</text>{''.join(inside)}</svg>\n"
    )


def _drawn(scene: Scene, look: Look) -> Iterator[str]:
    colours, words = COLOURS[look.theme], _WORDS[look.language]
    scale = _Scale.of(scene, look)
    yield from _grid(scale, scene, look)
    for hole in scene.holes:
        yield _hole(scale, hole, look)
    yield from _running(scale, colours, words)
    candles = [candle for candle, _ in scene.rows]
    yield from _volume(scale, candles, colours)
    yield from (_candles if scale.slot >= _NARROWEST else _band)(scale, candles, colours)
    for place, window in look.windows:
        points = [(row.bucket, row.values[place]) for _, row in scene.rows]
        path = _line(scale, points, scene.series.step)
        yield f'<path d="{path}" fill="none" stroke="{colours[f"mms_{window}"]}" stroke-width="1.8"/>'
    lows = {candle.bucket: candle.high for candle in candles}
    for bucket in scene.revised:
        if bucket in lows:
            x, y = scale.x(bucket), scale.y(lows[bucket]) - 4
            yield (
                f'<path d="M{x:.1f} {y:.1f}l-5 -8h10z" fill="{colours["revised"]}">'
                f"<title>{words['revised']} {_day(bucket, scene.series.step, look)}</title></path>"
            )
    yield from _legend(scene, look)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where buckets and prices lie, in pixels. `slot` is the width of a bucket."""

    first: int
    step: int
    slots: int
    low: int
    high: int

    @classmethod
    def of(cls, scene: Scene, look: Look) -> _Scale:
        """The scale of what is drawn, with a little air above and below."""
        step = scene.series.step
        means = [row.values[place] for _, row in scene.rows for place, _ in look.windows]
        values = [mean for mean in means if mean is not None]
        low = min([candle.low for candle, _ in scene.rows] + values)
        high = max([candle.high for candle, _ in scene.rows] + values)
        air = max((high - low) // 20, high // 1_000, 1)
        slots = (scene.last - scene.first) // step + 2  # one is the running bucket's
        return cls(scene.first, step, slots, max(0, low - air), high + air)

    @property
    def slot(self) -> float:
        return (_RIGHT - _LEFT) / self.slots

    def x(self, bucket: int) -> float:
        """The middle of the bucket's slot."""
        return _LEFT + ((bucket - self.first) // self.step + 0.5) * self.slot

    def y(self, price: int) -> float:
        """The height of a price."""
        return _BOTTOM - (price - self.low) * (_BOTTOM - _TOP) / (self.high - self.low)


def _grid(scale: _Scale, scene: Scene, look: Look) -> Iterator[str]:
    colours = COLOURS[look.theme]
    step = _round_step((scale.high - scale.low) // _TICKS)
    label = f'font-size="12" fill="{colours["muted"]}"'
    for price in range(-(-scale.low // step) * step, scale.high + 1, step):
        y = scale.y(price)
        yield f'<path d="M{_LEFT} {y:.1f}H{_RIGHT}" stroke="{colours["grid"]}"/>'
        shown = _decimal(price, look)
        yield f'<text x="{_RIGHT + 8}" y="{y + 4:.1f}" {label}>{shown}</text>'
    every = max(1, (scale.slots - 1) // _TICKS)
    for number in range(0, scale.slots - 1, every):
        bucket = scene.first + number * scale.step
        x = scale.x(bucket)
        yield f'<path d="M{x:.1f} {_TOP}V{_VOLUME_BOTTOM}" stroke="{colours["grid"]}"/>'
        if x < _RIGHT - 50:
            day = _day(bucket, scale.step, look)
            yield f'<text x="{x:.1f}" y="438" text-anchor="middle" {label}>{day}</text>'
    yield f'<text x="{_RIGHT + 8}" y="438" {label}>UTC</text>'


def _hole(scale: _Scale, hole: Hole, look: Look) -> str:
    colours, words = COLOURS[look.theme], _WORDS[look.language]
    x, width = scale.x(hole.first) - scale.slot / 2, max(1.5, hole.count * scale.slot)
    says = f"{_day(hole.first, scale.step, look)}: {words[hole.cause]}"
    return (
        f'<rect x="{x:.1f}" y="{_TOP}" width="{width:.1f}" height="{_VOLUME_BOTTOM - _TOP}" '
        f'fill="{colours["hole"]}" fill-opacity="0.35"><title>{says}</title></rect>'
    )


def _running(scale: _Scale, colours: Colours, words: Mapping[str, str]) -> Iterator[str]:
    x, middle = _RIGHT - scale.slot, (_TOP + _VOLUME_BOTTOM) / 2
    yield (
        f'<path d="M{x:.1f} {_TOP}H{_RIGHT}V{_VOLUME_BOTTOM}H{x:.1f}z" fill="none" '
        f'stroke="{colours["muted"]}" stroke-dasharray="4 4"><title>{words["running"]}</title></path>'
    )
    yield (
        f'<text x="{_RIGHT + 4}" y="{middle}" font-size="11" fill="{colours["muted"]}" '
        f'transform="rotate(90 {_RIGHT + 4} {middle})" text-anchor="middle">{words["running"]}</text>'
    )


def _volume(scale: _Scale, candles: Sequence[Candle], colours: Colours) -> Iterator[str]:
    volumes = [(c.bucket, float(text(c.volume))) for c in candles if c.volume is not None]
    most = max((volume for _, volume in volumes), default=0.0)
    if not most:
        return
    width = max(0.5, scale.slot * 0.7)
    bars = []
    for bucket, volume in volumes:
        height = volume * (_VOLUME_BOTTOM - _VOLUME_TOP) / most
        x, y = scale.x(bucket) - width / 2, _VOLUME_BOTTOM - height
        bars.append(f"M{x:.1f} {y:.1f}h{width:.1f}V{_VOLUME_BOTTOM:.0f}h-{width:.1f}z")
    yield f'<path d="{"".join(bars)}" fill="{colours["volume"]}"/>'


def _candles(scale: _Scale, candles: Sequence[Candle], colours: Colours) -> Iterator[str]:
    """Rising candles are hollow, so that they are told without their colour, too."""
    width = scale.slot * 0.6
    for kind, fill in (("up", colours["background"]), ("down", colours["down"])):
        wicks, bodies = [], []
        for candle in candles:
            if (candle.close >= candle.open) != (kind == "up"):
                continue
            x = scale.x(candle.bucket)
            wicks.append(f"M{x:.1f} {scale.y(candle.high):.1f}V{scale.y(candle.low):.1f}")
            top = scale.y(max(candle.open, candle.close))
            height = max(0.8, scale.y(min(candle.open, candle.close)) - top)
            bodies.append(f"M{x - width / 2:.1f} {top:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
        yield f'<path d="{"".join(wicks)}" stroke="{colours[kind]}"/>'
        yield f'<path d="{"".join(bodies)}" fill="{fill}" stroke="{colours[kind]}"/>'


def _band(scale: _Scale, candles: Sequence[Candle], colours: Colours) -> Iterator[str]:
    """The lows and highs of each column of pixels, and the closes."""
    columns = []
    for x, group in groupby(candles, lambda candle: int(scale.x(candle.bucket))):
        part = list(group)
        high, low = max(c.high for c in part), min(c.low for c in part)
        columns.append(f"M{x} {scale.y(high):.1f}V{scale.y(low):.1f}")
    yield f'<path d="{"".join(columns)}" stroke="{colours["muted"]}" stroke-opacity="0.5"/>'
    closes = [(candle.bucket, candle.close) for candle in candles]
    path = _line(scale, closes, scale.step)
    yield f'<path d="{path}" fill="none" stroke="{colours["text"]}"/>'


def _line(scale: _Scale, points: Iterable[tuple[int, int | None]], step: int) -> str:
    """A path through the values that exist, broken wherever one of a bucket does not.

    Of points within half a pixel only the first and the last are drawn.
    """
    path: list[str] = []
    last: int | None = None
    drawn, pending = 0.0, ""
    for bucket, value in points:
        if value is None:
            continue
        x = scale.x(bucket)
        at = f"{x:.1f} {scale.y(value):.1f}"
        if last is None or bucket != last + step:
            path += [pending, f"M{at}"]
            drawn, pending = x, ""
        elif x - drawn >= 0.5:
            path.append(f"L{at}")
            drawn, pending = x, ""
        else:
            pending = f"L{at}"
        last = bucket
    return "".join([*path, pending])


def _legend(scene: Scene, look: Look) -> Iterator[str]:
    colours, words = COLOURS[look.theme], _WORDS[look.language]
    x = _LEFT
    newest = scene.rows[-1][1]
    for place, window in look.windows:
        name, value = words["average"].format(window=window), newest.values[place]
        shown = f"{name} {_decimal(value, look)}" if value is not None else f"{name} –"
        yield f'<path d="M{x:.0f} 42h16" stroke="{colours[f"mms_{window}"]}" stroke-width="3"/>'
        yield f'<text x="{x + 22:.0f}" y="46" fill="{colours["text"]}">{shown}</text>'
        x += 36 + 7.4 * len(shown)
    time = words["as_of"].format(time=_moment(scene.rows[-1][0].bucket))
    colour, said = colours["muted"], time
    if scene.stale:
        colour, said = colours["bad"], f"{words['stale']} · {time}"
    yield f'<text x="{_RIGHT}" y="24" text-anchor="end" fill="{colour}">{said}</text>'
    if scene.holes:
        yield f'<rect x="{_LEFT}" y="453" width="14" height="14" fill="{colours["hole"]}" fill-opacity="0.35"/>'
        yield f'<text x="{_LEFT + 20}" y="465" fill="{colours["text"]}">{_missing(scene, look)}</text>'


def _empty(scene: Scene, colours: Colours) -> Iterator[str]:
    """The sentence that says why nothing is drawn, in lines."""
    line: list[str] = []
    y = 80
    for word in [*(scene.message or "").split(), None]:
        if word is None or sum(map(len, line)) + len(line) + len(word) > 110:
            said = escape(" ".join(line))
            yield f'<text x="{_LEFT}" y="{y}" fill="{colours["text"]}">{said}</text>'
            line, y = [], y + 22
        line.append(word or "")


def _summary(scene: Scene, look: Look) -> str:
    """What is seen, in a sentence."""
    if not scene.rows:
        return scene.message or ""
    words = _WORDS[look.language]
    candle, row = scene.rows[-1]
    parts = [
        words["closed"].format(symbol=scene.series.pair.symbol, price=_decimal(candle.close, look))
    ]
    parts[0] += f" ({_moment(candle.bucket)})"
    if look.windows:
        place, window = look.windows[-1]
        average = row.values[place]
        if average:
            side = "above" if candle.close >= average else "below"
            by = _percent(distance(candle.close, average), look)
            parts[0] += words[side].format(by=by, window=window)
    if scene.stale:
        parts.append(words["stale"])
    if scene.holes:
        parts.append(_missing(scene, look))
    return ". ".join(parts) + "."


def _missing(scene: Scene, look: Look) -> str:
    words = _WORDS[look.language]
    counts: dict[str, int] = {}
    for hole in scene.holes:
        counts[hole.cause] = counts.get(hole.cause, 0) + hole.count
    causes = ", ".join(f"{words[cause]} ({count})" for cause, count in counts.items())
    return words["missing"].format(count=sum(counts.values()), causes=causes)


def _round_step(least: int) -> int:
    """The smallest of 1, 2 and 5 times a power of ten that is at least this."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if factor * size >= least:
                return factor * size
        size *= 10


def _decimal(value: int, look: Look) -> str:
    """The number in the language's form: 439,605.68 or 439.605,68."""
    whole, _, fraction = text(value).partition(".")
    grouped = f"{int(whole):,}"
    point = "." if look.language == "en" else ","
    if look.language != "en":
        grouped = grouped.replace(",", ".")
    return f"{grouped}{point}{fraction}" if fraction else grouped


def _percent(relative: str, look: Look) -> str:
    """The size of a relative change of four places, such as -0.0942: 9.42 %."""
    shown = f"{abs(round(float(relative) * 100, 2)):.2f}"
    return f"{shown if look.language == 'en' else shown.replace('.', ',')} %"


def _day(bucket: int, step: int, look: Look) -> str:
    """A bucket on the axis: its day, and its time of day where it is shorter than one."""
    at = datetime.fromtimestamp(bucket, UTC)
    month = _MONTHS[look.language].split()[at.month - 1]
    day = f"{at.day} {month}"
    return f"{day} {at.year}" if step == DAY else f"{day} {at:%H:%M}"


def _moment(bucket: int) -> str:
    return f"{iso(bucket)[:16].replace('T', ' ')} UTC"
