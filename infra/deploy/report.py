"""Progress for people: one line a step with the seconds since the start, and a summary as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TextIO

_LONGEST: Final = 500


@dataclass
class Report:
    """Where the lines go; `now` is the clock, and `steps` what has been said."""

    out: TextIO
    now: Callable[[], float]
    steps: list[tuple[float, str, str]] = field(default_factory=list)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.now()

    def step(self, name: str, text: str) -> None:
        """Say that something was done or seen."""
        passed = self.now() - self._began
        self.steps.append((passed, name, text))
        self._line(f"{passed:7.1f} s  {name:<9} {text}")

    def note(self, text: str) -> None:
        """Say a line that belongs to the step above it."""
        self._line(f"{'':>21}| {text[:_LONGEST]}")

    def problem(self, text: str, details: Sequence[str] = ()) -> None:
        """Say what went wrong, and what there is to read about it."""
        self.step("problem", text)
        for line in details:
            self.note(line)

    def summary(self, image: str, code: int) -> str:
        """One line of JSON for other programs."""
        problems = [text for _, name, text in self.steps if name == "problem"]
        took = round(self.now() - self._began, 1)
        return json.dumps({"image": image, "exit": code, "seconds": took, "problems": problems})

    def _line(self, text: str) -> None:
        # A log line may hold anything, and GitHub reads a line that starts with `::` as a command.
        printable = "".join(char if char.isprintable() else " " for char in text)
        self.out.write(printable + os.linesep)
        self.out.flush()
