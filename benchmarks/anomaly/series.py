"""The series that the rules are tried on: generated ones, recorded ones, and either with spikes."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Final

from app.core.errors import UnrepresentablePrice
from app.core.market import DAY
from app.domain.fixed_point import PLACES, SCALE, exact

BILLION: Final = 10**9
SPACING: Final = 100
"""One spike in so many buckets, and none in the first so many."""

KEPT_APART: Final = 20
"""The fewest buckets between two spikes."""


@dataclass(frozen=True, slots=True)
class Closes:
    """Daily closes in 1e-8 by bucket start, ascending."""

    name: str
    buckets: list[int]
    closes: list[int]


@dataclass(frozen=True, slots=True)
class Size:
    """How large injected spikes are: uniform between two bounds, in units that suit the series."""

    name: str
    low: float
    high: float
    by_habit: bool


SIZES: Final = (
    Size("6 to 30 %", 0.06, 0.30, by_habit=False),
    Size("5 to 20 usual changes", 5, 20, by_habit=True),
)


def _calm(generator: random.Random) -> Iterator[float]:
    while True:
        yield generator.gauss(0, 0.005)


def _wild(generator: random.Random) -> Iterator[float]:
    while True:
        yield generator.gauss(0, 0.06)


def _fat_tailed(generator: random.Random) -> Iterator[float]:
    """Student's t with 3 degrees of freedom."""
    while True:
        square = sum(generator.gauss(0, 1) ** 2 for _ in range(3))
        yield 0.015 * generator.gauss(0, 1) / math.sqrt(square / 3)


def _clustered(generator: random.Random) -> Iterator[float]:
    """GARCH(1, 1) (Bollerslev 1986): quiet and wild times alternate, 4 % a day on average."""
    usual = variance = 0.04**2
    while True:
        change = generator.gauss(0, math.sqrt(variance))
        yield change
        variance = 0.05 * usual + 0.10 * change**2 + 0.85 * variance


KINDS: Final[dict[str, Callable[[random.Random], Iterator[float]]]] = {
    "calm (normal, 0.5 % a day)": _calm,
    "wild (normal, 6 % a day)": _wild,
    "fat tails (t with 3 d.f.)": _fat_tailed,
    "clustered (GARCH, 4 % a day)": _clustered,
}


def generated(kind: str, points: int, seed: int) -> Closes:
    """A seeded series of one of KINDS, without any anomaly: whatever happens in it is its habit."""
    generator = random.Random(f"{kind}:{seed}")
    changes = KINDS[kind](generator)
    closes = [10_000 * SCALE]
    while len(closes) < points:
        factor = BILLION + round(BILLION * max(-0.5, min(0.5, next(changes))))
        # Kept within bounds, as no fixed-point price can wander for ever.
        closes.append(min(max(closes[-1] * factor // BILLION, SCALE), 10**17))
    return Closes(kind, [at * DAY for at in range(points)], closes)


def with_spikes(series: Closes, size: Size, seed: int) -> tuple[Closes, list[int]]:
    """The series with single wrong closes, and their places.

    Up is × (1 + s), down is ÷ (1 + s). The next close has the true price again. Each spike has both
    neighbours, so that its begin and its end are changes.
    """
    generator = random.Random(f"{series.name}:{size.name}:{seed}")
    closes, places = list(series.closes), []
    unit = usual_change(series) if size.by_habit else 1.0
    for start in range(SPACING, len(closes) - SPACING + 1, SPACING):
        at = start + generator.randrange(SPACING - KEPT_APART)
        factor = BILLION + round(BILLION * unit * generator.uniform(size.low, size.high))
        upward = generator.random() < 0.5
        if series.buckets[at + 1] - series.buckets[at - 1] != 2 * DAY:
            continue
        close = closes[at] * factor // BILLION if upward else closes[at] * BILLION // factor
        closes[at] = max(1, close)
        places.append(at)
    return Closes(series.name, series.buckets, closes), places


def usual_change(series: Closes) -> float:
    """The median size of the series' relative changes."""
    closes = series.closes
    return median(abs(closes[at] / closes[at - 1] - 1) for at in range(1, len(closes)))


def recorded(path: Path) -> Closes:
    """Read `timestamp,…,close,…`. Raises ValueError where the file is no daily series."""
    buckets, closes = [], []
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            try:
                buckets.append(int(row["timestamp"]))
                closes.append(exact(f"{Decimal(row['close']):.{PLACES}f}"))
            except (
                KeyError,
                TypeError,
                ValueError,
                ArithmeticError,
                UnrepresentablePrice,
            ) as error:
                raise ValueError(f"{path}, row {len(buckets)}: {error!r}") from error
    if len(closes) < 2 * SPACING:
        raise ValueError(f"{path} has {len(closes)} closes: at least {2 * SPACING} are needed")
    return Closes(path.stem, buckets, closes)
