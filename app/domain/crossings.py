"""How a close and its averages lie to each other, and which of them crossed: on exact integers.

Values are in 1e-8, as they are stored. An average that does not exist is None.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Final, Literal, NamedTuple

from app.core.market import WINDOWS

LINES: Final = ("close", *(f"mms_{window}" for window in WINDOWS))
"""What can cross: the close, and the averages from the shortest window to the longest."""

_PLACES: Final = 4

Trend = Literal["above", "at", "below"]


class Levels(NamedTuple):
    """The close and the averages (in the order of WINDOWS) of one bucket, in 1e-8."""

    bucket: int
    close: int
    averages: tuple[int | None, ...]


def crossings(before: Levels, newest: Levels, step: int) -> tuple[str, ...]:
    """The pairs of LINES that crossed between two buckets: `close>mms_200` upwards, `<` downwards.

    The first line was not above the second in the bucket before, and is now; or the mirror of that.
    Both lines must exist in both buckets, and the buckets must be neighbours, `step` seconds apart:
    what happened in a gap is unknown.
    """
    if newest.bucket - before.bucket != step:
        return ()
    lines = zip(
        LINES, (before.close, *before.averages), (newest.close, *newest.averages), strict=True
    )
    pairs = combinations(lines, 2)
    signs = [(a, _sign(a0, b0, a1, b1), b) for (a, a0, a1), (b, b0, b1) in pairs]
    return tuple(f"{a}{sign}{b}" for a, sign, b in signs if sign)


def _sign(a0: int | None, b0: int | None, a1: int | None, b1: int | None) -> str:
    """How a line crossed another from the values 0 to the values 1; empty where it did not."""
    if a0 is None or b0 is None or a1 is None or b1 is None:
        return ""
    if a0 <= b0 and a1 > b1:
        return ">"
    return "<" if a0 >= b0 and a1 < b1 else ""


def distance(close: int, average: int) -> str:
    """How far the close lies from a positive average, relative to it: `0.0942`, `-0.0100`.

    Rounded half to even at 4 places.
    """
    scale = 10**_PLACES
    rounded = round(Fraction((close - average) * scale, average))
    whole, fraction = divmod(abs(rounded), scale)
    return f"{'-' if rounded < 0 else ''}{whole}.{fraction:0{_PLACES}d}"


def trend(close: int, average: int) -> Trend:
    """On which side of the average the close lies."""
    if close == average:
        return "at"
    return "above" if close > average else "below"
