"""What goes wrong with an exchange's candles now and then, once each, at a simulated one.

A day stays missing, a day comes late, a candle must be refused, and a close is changed afterwards.
In the end only the first and the third differ from the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from app.core.market import DAY, Series
from app.sandbox.book import EditableBook, Span, newest
from app.sandbox.fault_kinds import Revise

_EVERY: Final = 140
_PHASE: Final = 82
"""The days are the same for 140 days, so that a demo of the next day continues one of today. The
phase keeps them apart from the averages over 20 and 50 days that the documents show."""

_YOUNGEST: Final = 215
"""Days since the missing days at least: the newest average over 200 has none of them."""

NEEDED_DAYS: Final = _YOUNGEST + _EVERY
"""Days of history that have the missing days, whatever day it is today."""

_LATE: Final = 12
_REFUSED: Final = 2
_PROVISIONAL: Final = Revise(value=Decimal("1.02"))
_IMPOSSIBLE: Final = Decimal("1.01")


@dataclass(frozen=True, slots=True)
class MissingDays:
    """The starts of three days, in unix seconds.

    The exchange never has `lasting`, and has `late` after a while. The first candle of `refused`
    closes above its high.
    """

    lasting: int
    late: int
    refused: int

    @classmethod
    def before(cls, now: float) -> MissingDays:
        """The days at unix time `now`: 203 to 354 days ago."""
        youngest = int(now) // DAY - _YOUNGEST
        first = youngest - (youngest - _PHASE) % _EVERY
        return cls(*((first + days) * DAY for days in (0, _LATE, _REFUSED)))


class Incidents:
    """The incidents of one series in a book, from unix time `now` on.

    `days` is None where its history is too short for missing days.
    """

    def __init__(
        self, book: EditableBook, series: Series, days: MissingDays | None, now: float
    ) -> None:
        self._book = book
        self._series = series
        self._days = days
        last = series.interval.last_closed(now) - series.step
        self._revised = newest(book, series, 0, last, now, 1)[0]
        if days is not None:
            book.remove(series.pair, _day(days.lasting))
            refused = book.candles(series, days.refused, days.refused + DAY - series.step, now)[0]
            impossible = replace(refused, close=refused.high * _IMPOSSIBLE)
            book.replace(series, [impossible])

    def begin(self) -> None:
        """Hide the late day, and give the newest candle but one a provisional close."""
        if self._days is not None:
            self._book.remove(self._series.pair, _day(self._days.late))
        self._book.replace(self._series, _PROVISIONAL.change(self._revised))

    def end(self) -> None:
        """Show the late day, and correct the provisional close."""
        if self._days is not None:
            self._book.restore(self._series.pair, _day(self._days.late))
        self._book.replace(self._series, [self._revised])


def _day(start: int) -> Span:
    return start, start + DAY
