"""The legend of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Final

from app.core.market import Window
from app.domain.picture.content import Picture, by_cause
from app.domain.picture.layout import LEFT, LETTER, PX
from app.domain.picture.shapes import triangles
from app.domain.picture.svg import hatched, label, stroke, tag
from app.domain.picture.themes import Colours
from app.domain.picture.words import Words

_SWATCH: Final = 14 * PX


def legend(
    picture: Picture, banded: bool, absent: Set[Window], revised: int, words: Words,
    colours: Colours,
) -> Iterable[str]:  # fmt: skip
    """What the signs mean: first the prices and averages, below them what is out of the ordinary.

    `absent` are the windows whose average exists nowhere in the picture.
    """
    x, y = LEFT, 84 * PX
    yield label(words.say("band" if banded else "candles"), x, y, fill=colours.muted)
    x += _room(words.say("band" if banded else "candles"))
    for window in picture.windows:
        name = words.say("average", window=window)
        if window in absent:
            name = words.say("none", name=name)
        yield stroke(f"M{x} {y - 4 * PX}h{_SWATCH}", colours.lines[window], 22)
        x += _SWATCH + 5 * PX
        yield label(name, x, y)
        x += _room(name)
    x, y = LEFT, 106 * PX
    if picture.holes:
        causes = ", ".join(
            f"{words.say(cause)} ({words.whole(count)})"
            for cause, count in by_cause(picture.holes).items()
        )
        name = words.say("holes", causes=causes)
        box = f"M{x} {y - 9 * PX}h{_SWATCH}v{11 * PX}h{-_SWATCH}z"
        yield hatched(box, colours.hole)
        x += _SWATCH + 5 * PX
        yield label(name, x, y)
        x += _room(name)
    if revised:
        yield tag("path", d=triangles([(x + 5 * PX, y)], 9 * PX))
        yield label(words.say("revised", count=words.whole(revised)), x + 14 * PX, y)


def _room(text: str) -> int:
    """The width that a text of the legend is given, with the space after it."""
    return len(text) * LETTER + 14 * PX
