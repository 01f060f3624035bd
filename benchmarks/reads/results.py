"""Readings, the ratios of rows, the verdict, and the table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement: what it cost, in the unit of its case, and requests per second, if any.

    `share` is the smallest worker's part of the CPU, where there are several.
    """

    cost: float
    rate: float = 0.0
    share: float = 1.0


@dataclass(frozen=True)
class Case:
    """Something that is measured once in each round. `measure` gets the number of the round."""

    name: str
    unit: str
    measure: Callable[[int], Reading]


@dataclass(frozen=True)
class Goal:
    """A goal for a ratio. `at_most` turns the direction; `or_below` is a cost that is enough.

    At least: the other's cost / ours, so 1.0 is as cheap. At most: our cost / the other's. Where
    the other's cost is above `other_below`, the machine is too busy, and nothing holds.
    """

    value: float
    at_most: bool = False
    or_below: float = 0.0
    other_below: float = math.inf
    least_share: float = 0.0

    def __str__(self) -> str:
        text = f"{'≤' if self.at_most else '≥'} {self.value:g}"
        text += f" or ≤ {self.or_below:g} ms" if self.or_below else ""
        return text + (f", each worker ≥ {self.least_share:.0%}" if self.least_share else "")


@dataclass(frozen=True)
class Row:
    """A row of the table: one case against another. `goal` is None where none is set.

    `other` is None where the goal is for the cost itself. `absent` says why it cannot be measured.
    """

    what: str
    ours: str
    other: str | None
    goal: Goal | None
    absent: str = ""


@dataclass(frozen=True)
class Judged:
    """A row with its ratios: the median over the rounds, the least and the greatest."""

    row: Row
    ratio: float
    least: float
    greatest: float
    held: bool | None


Readings = Mapping[str, Sequence[Reading]]
"""The readings of each case, one for each round."""


def judged(row: Row, readings: Readings) -> Judged:
    """The row's ratios, round by round, and whether the median holds the goal."""
    if row.absent:
        return Judged(row, 0.0, 0.0, 0.0, held=None if row.goal is None else False)
    ours = readings[row.ours]
    if row.other is None:
        ratios = [reading.cost for reading in ours]
    elif row.goal and row.goal.at_most:
        pairs = zip(ours, readings[row.other], strict=True)
        ratios = [mine.cost / its.cost for mine, its in pairs]
    else:
        pairs = zip(ours, readings[row.other], strict=True)
        ratios = [its.cost / mine.cost for mine, its in pairs]
    middle = statistics.median(ratios)
    other = readings[row.other] if row.other else ()
    return Judged(row, middle, min(ratios), max(ratios), _held(row.goal, middle, ours, other))


def _held(
    goal: Goal | None, ratio: float, ours: Sequence[Reading], other: Sequence[Reading]
) -> bool | None:
    if goal is None:
        return None
    if goal.at_most:
        cost = statistics.median(reading.cost for reading in ours)
        calm = not other or statistics.median(each.cost for each in other) <= goal.other_below
        return cost <= goal.or_below or (calm and ratio <= goal.value)
    share = statistics.median(reading.share for reading in ours)
    return ratio >= goal.value and share >= goal.least_share


def table(rows: Sequence[Judged], cases: Mapping[str, Case], readings: Readings) -> str:
    """The rows as a Markdown table, and beneath it what each case has cost."""
    lines = [
        "| what | against | ratio (min to max) | goal | holds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in rows:
        row = each.row
        ratio = f"{_short(each.ratio)} ({_short(each.least)} to {_short(each.greatest)})"
        if row.goal and row.goal.least_share and not row.absent:
            share = statistics.median(reading.share for reading in readings[row.ours])
            ratio += f", the lesser worker {share:.0%}"
        cells = (
            row.what,
            row.other or "",
            row.absent or ratio,
            str(row.goal) if row.goal else "",
            {True: "yes", False: "NO", None: ""}[each.held],
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| measured | cost (median) | min to max | per second (median) | min to max |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, taken in readings.items():
        costs, rates = [r.cost for r in taken], [r.rate for r in taken]
        cells = (
            name,
            f"{_short(statistics.median(costs))} {cases[name].unit}",
            f"{_short(min(costs))} to {_short(max(costs))}",
            f"{statistics.median(rates):,.0f}" if any(rates) else "",
            f"{min(rates):,.0f} to {max(rates):,.0f}" if any(rates) else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(number: float) -> str:
    """Three digits that count, and no exponent."""
    return f"{number:,.0f}" if number >= 99.95 else f"{number:#.3g}".rstrip(".")
