"""What a picture shows, and the sentence that says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.core.market import AverageRow, Candle, Series, Window
from app.domain.picture.words import Words


@dataclass(frozen=True, slots=True)
class Hole:
    """`count` neighbouring buckets without a candle, and the name of the cause."""

    first: int
    last: int
    count: int
    cause: str


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture shows: the closed buckets [first, last] of a series.

    `rows` are those with a candle, ascending, and `revised` the buckets whose candle has changed.
    `missing` of the `expected` buckets have no candle. `as_of` is the newest stored bucket of the
    series. `reason` is the sentence that says why there are no rows.
    """

    series: Series
    first: int
    last: int
    rows: Sequence[tuple[Candle, AverageRow]]
    windows: tuple[Window, ...]
    holes: Sequence[Hole]
    revised: frozenset[int]
    expected: int
    missing: int
    as_of: int | None
    stale: bool
    reason: str | None


def by_cause(holes: Iterable[Hole]) -> Mapping[str, int]:
    """How many buckets are missing for each cause."""
    counts: Counter[str] = Counter()
    for hole in holes:
        counts[hole.cause] += hole.count
    return counts


def named(picture: Picture) -> dict[str, object]:
    pair, interval = picture.series.pair, picture.series.interval
    """The names of the series, for the words."""
    return {"symbol": pair.symbol, "quote": pair.quote, "interval": interval.value}


def closing(picture: Picture, words: Words) -> str:
    """The last close and its distance from the longest average, without a full stop."""
    candle, row = picture.rows[-1]
    average = row.values[-1]
    closed = words.say(
        "closed",
        moment=words.moment(candle.bucket, picture.series.step),
        close=words.decimal(candle.close),
        quote=picture.series.pair.quote,
    )
    apart = words.say("without") if average is None else words.apart(candle.close, average)
    return f"{closed}{apart}"


def summary(picture: Picture, words: Words) -> str:
    """One sentence for who does not see the picture: the close, and how much is missing."""
    name = words.say("title", **named(picture))
    if not picture.rows:
        return f"{name}: {words.say('empty')}"
    missing = words.say("complete")
    if picture.missing:
        expected = words.whole(picture.expected)
        missing = words.count("missing", picture.missing, expected=expected)
    return f"{name}: {closing(picture, words)}{missing}"
