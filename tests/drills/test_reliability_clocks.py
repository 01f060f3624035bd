"""Clocks that disagree, midnight, leap days and a day without the exchange: the measurements, in short.

Each works out by itself what must be stored or said; `make reliability` runs them at full length, and on
PostgreSQL as well.
"""

from __future__ import annotations

from benchmarks.reliability import away, clocks
from benchmarks.reliability.rig import SQLITE
from tests.support.reliability import kept


def test_whatever_our_clock_says_exactly_what_has_ended_at_the_exchange_is_stored() -> None:
    kept(clocks.skew(SQLITE, 3))


def test_midnight_in_the_middle_of_a_load_leaves_no_running_candle_and_no_hole() -> None:
    kept(clocks.midnight(SQLITE, 6))


def test_a_leap_day_is_a_day_like_any_other_in_rows_and_windows() -> None:
    kept(clocks.leap_day(SQLITE))


def test_a_day_without_the_exchange_is_answered_throughout_and_marked_stale_in_time() -> None:
    kept(away.measure(SQLITE, 12))
