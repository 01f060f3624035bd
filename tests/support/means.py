"""Averages to put a cache in front of: in memory, counted, and as slow as a test likes."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from app.core.market import EMPTY_SERIES, Series, SeriesState, Window

Rows = Mapping[int, int]
"""Bucket → average in 1e-8."""


@dataclass
class RecordingMeans:
    """A MeansSource of one series, the same in every window; `asked` names each question.

    While `held` is set each question, its answer already taken, waits until it is let go.
    """

    asked: list[str] = field(default_factory=list)
    error: Exception | None = None
    rows: Rows = field(default_factory=dict)
    revision: int = 0
    held: bool = False
    waiting: int = 0
    _go: threading.Condition = field(default_factory=threading.Condition)

    def commit(self, rows: Rows) -> int:
        """Replace the data, under a new revision."""
        self.rows = dict(sorted(rows.items()))
        self.revision += 1
        return self.revision

    def state(self, series: Series) -> SeriesState:
        """What is known of the series."""
        self.asked.append("state")
        found = self._state()
        self._wait()
        return found

    def means(
        self, series: Series, window: Window, first: int, last: int
    ) -> tuple[SeriesState, list[tuple[int, int]]]:
        """The averages in [first, last], with their state."""
        self.asked.append("means")
        found = self._state(), [row for row in self.rows.items() if first <= row[0] <= last]
        self._wait()
        return found

    def let_go(self) -> None:
        """Answer whoever waits, and from now on at once."""
        with self._go:
            self.held = False
            self._go.notify_all()

    def _state(self) -> SeriesState:
        if self.error is not None:
            raise self.error
        if not self.revision:
            return EMPTY_SERIES
        stamps = list(self.rows)
        return SeriesState(
            self.revision, stamps[0] if stamps else None, stamps[-1] if stamps else None, 1
        )

    def _wait(self) -> None:
        with self._go:
            if self.held:
                self.waiting += 1
                assert self._go.wait_for(lambda: not self.held, timeout=20)


def body_of(rows: Rows, first: int, last: int) -> bytes:
    """What a read of the period must give, worked out from the contract's words alone."""
    found = between(rows, first, last)
    return f"[{','.join(row_of(*row) for row in found.items())}]\n".encode()


def row_of(bucket: int, value: int) -> str:
    """One row of a reply."""
    number = f"{Decimal(value).scaleb(-8):f}".rstrip("0")
    return f'{{"timestamp":{bucket},"mms":{number}{"0" * number.endswith(".")}}}'


def rows_in(body: bytes) -> dict[int, int]:
    """The rows of a reply's body, by the standard library alone."""
    points = json.loads(body, parse_float=Decimal)
    found = {point["timestamp"]: int(point["mms"].scaleb(8)) for point in points}
    assert list(found) == sorted(found)
    assert len(found) == len(points)
    return found


def between(rows: Rows, first: int, last: int) -> dict[int, int]:
    """The rows of the period."""
    return {bucket: value for bucket, value in rows.items() if first <= bucket <= last}
