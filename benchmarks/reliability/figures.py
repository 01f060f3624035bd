"""What a measurement gives: figures, each of one promise, and their table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise as it was found.

    `runs` is how often it was tried, `measured` the figure in words, `held` whether the promise was
    kept every time. `troubles` are the first few ways in which it was not.
    """

    promise: str
    where: str
    runs: int
    measured: str
    held: bool
    troubles: tuple[str, ...] = ()


Step = Callable[[], None]
"""Called after each run, for the progress."""


def no_step() -> None:
    """Show no progress."""


LINE_EVERY: Final = 10.0
"""Seconds between two lines of progress."""


class Progress:
    """Says on standard error how far a measurement is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._done = 0
        self._begun = self._said = time.monotonic()

    def step(self) -> None:
        """Count one step."""
        self._done += 1
        if time.monotonic() - self._said >= LINE_EVERY:
            self._said = time.monotonic()
            self._say(f"{self._done:,} done")

    def end(self) -> None:
        """Say how long it took."""
        self._say("the end")

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._name}: {text} after {time.monotonic() - self._begun:.0f} s\n")


def figure(
    promise: str, where: str, runs: int, measured: str, troubles: Sequence[str], *, least: int = 1
) -> Figure:
    """A figure that held where nothing went wrong in at least `least` runs: none proves nothing."""
    held = not troubles and runs >= least
    return Figure(promise, where, runs, measured, held, tuple(troubles[:5]))


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table, with the troubles beneath it."""
    head = ("promise", "where", "runs", "measured", "held")
    rows = [
        (f.promise, f.where, f"{f.runs:,}", f.measured, "yes" if f.held else "NO") for f in figures
    ]
    lines = [" | ".join(row) for row in [head, ("---",) * len(head), *rows]]
    troubles = [f"{f.promise} ({f.where}): {text}" for f in figures for text in f.troubles]
    return "\n".join([*(f"| {line} |" for line in lines), *troubles])


def spread(values: Sequence[float], unit: str = "s") -> str:
    """Median and longest of some durations, in words."""
    if not values:
        return "none"
    ordered = sorted(values)
    return f"median {ordered[len(ordered) // 2]:.2f} {unit}, longest {ordered[-1]:.2f} {unit}"
