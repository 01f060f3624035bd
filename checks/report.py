"""One line for each check with its figure, and an honest end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

PASSED: Final = 0
FAILED: Final = 1
NOT_RUN: Final = 3
"""The check lacks something that it needs: nothing is proved, and nothing counts as passed."""


class CannotCheckError(Exception):
    """The check cannot be made here; the message says what to install or do."""


class Report:
    """Prints what was tried as it happens, and keeps count."""

    def __init__(
        self,
        title: str,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._title = title
        self._out = out or sys.stdout
        self._clock = clock
        self._began = clock()
        self.passed = 0
        self.failed: list[str] = []
        self.left_out: list[str] = []

    def section(self, text: str) -> None:
        """A heading."""
        self._line(f"\n{text}")

    def note(self, text: str) -> None:
        """Something to know that is neither passed nor failed."""
        self._line(f"        {text}")

    def check(self, name: str, good: bool, figure: object) -> bool:
        """Report one check: whether it holds, and its figure."""
        self._line(f"{'ok' if good else 'FAILED':<7} {name:<34} {figure}")
        if good:
            self.passed += 1
        else:
            self.failed.append(name)
        return good

    def equal(self, name: str, value: object, expected: object) -> bool:
        """Report one check whose value must be `expected`."""
        good = value == expected
        return self.check(name, good, value if good else f"{value}, and should be {expected}")

    def leave_out(self, name: str, why: str) -> None:
        """Something that cannot be tried here. It is never counted as passed."""
        self._line(f"NOT RUN {name:<34} {why}")
        self.left_out.append(name)

    def finish(self) -> int:
        """Print the sum; returns the exit code."""
        seconds = self._clock() - self._began
        left_out = f", {len(self.left_out)} not run" if self.left_out else ""
        self._line(
            f"\n{self._title}: {self.passed} passed, {len(self.failed)} failed{left_out}, "
            f"in {seconds:.0f} s"
        )
        for name in self.failed:
            self._line(f"failed: {name}")
        return FAILED if self.failed else PASSED

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()
