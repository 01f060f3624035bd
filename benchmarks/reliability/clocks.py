"""Clocks that disagree, midnight in the middle of a load, and a day that most years do not have.

What must be stored is worked out from what the stand-in exchange has, by its own clock: every candle
that has ended there, with the values it keeps, from the first one that was asked for.
"""

from __future__ import annotations

import random
from calendar import timegm
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from app.core.market import DAY, WARM_UP, Interval
from app.core.settings import load_settings
from app.db.series import SqlSeriesStore
from app.sandbox.book import Bar
from app.services.loaders import load_incremental, load_initial
from app.utils.candles import SETTLING
from benchmarks.reliability.content import Content, content, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import (
    BTC,
    NOW,
    Database,
    Stage,
    Where,
    candle_source,
    database,
    exchange,
)

HOURS: Final = (-26, -11, -5, -1, 1, 5, 11, 26)
"""How far our clock is from the exchange's: behind where negative."""
INTERVALS: Final = (Interval.MINUTE, Interval.HOUR, Interval.DAY)
HISTORY: Final = {Interval.MINUTE: 2, Interval.HOUR: 30, Interval.DAY: 365}
LATER: Final = {Interval.MINUTE: 3_600, Interval.HOUR: DAY, Interval.DAY: 3 * DAY}
"""Seconds until the load that follows, with the clock put right."""


@dataclass
class _Rig:
    """One database and one exchange, each with a clock that is set."""

    db: Database
    stage: Stage
    base_url: str
    there: list[float]

    def load(self, interval: Interval, ours: Callable[[], float], *, first: bool) -> Content:
        """Run a loader by our clock; returns what is stored then."""
        settings = load_settings(None, mb_api_base_url=self.base_url)
        loader = load_initial if first else load_incremental
        with candle_source(settings, ours) as source:
            store = SqlSeriesStore(self.db.engine)
            loader(store, source, ours, BTC, interval, history_days=HISTORY[interval])
        return content(self.db.engine, BTC, interval)

    def troubles(self, found: Content, interval: Interval, first: int) -> list[str]:
        """Where what is stored is not what has ended at the exchange by now."""
        step, now = interval.seconds, int(self.there[0])
        last = (now - SETTLING) // step * step - step
        # As they stand long after: none of them may have been stored while it ran.
        bars = self.stage.book.candles(BTC, interval, first, last, now + 10 * DAY)
        wanted = [_row(bar) for bar in bars]
        troubles = disagreements(found, step)
        if [row[:6] for row in found.rows] != wanted:
            stored, there = len(found.rows), len(wanted)
            newest = found.newest, wanted[-1][0] if wanted else None
            troubles.append(f"{stored} candles stored, {there} to be stored; newest {newest}")
        if found.checked_at is None:
            troubles.append("the load does not count as having reached the newest candle")
        return troubles


def _row(bar: Bar) -> tuple[int, ...]:
    prices = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    return bar.stamp, *(int(price.scaleb(8)) for price in prices)


def _first(interval: Interval, ours: float) -> int:
    """The first bucket that a load by our clock asks for."""
    end = int(ours) // interval.seconds * interval.seconds
    return end - HISTORY[interval] * DAY - WARM_UP * interval.seconds


def skew(where: Where, runs: int = 24, step: Step = no_step) -> list[Figure]:
    """Load with a clock that is hours off, put it right, and load on; `runs` of all cases."""
    cases = [(interval, hours) for hours in HOURS for interval in INTERVALS]
    chosen = random.Random(1).sample(cases, min(runs, len(cases)))
    troubles: list[str] = []
    there = [float(NOW)]
    with exchange(lambda: there[0]) as (stage, base_url), database(where) as db:
        rig = _Rig(db, stage, base_url, there)
        for interval, hours in chosen:
            db.empty()
            there[0] = NOW
            ours = NOW + hours * 3_600
            first = _first(interval, ours)
            found = rig.load(interval, lambda ours=ours: float(ours), first=True)  # type: ignore[misc]
            wrong = rig.troubles(found, interval, first)
            there[0] = NOW + LATER[interval]
            found = rig.load(interval, lambda: there[0], first=False)
            # A clock that was ahead began too late: what it left out of the period is brought now.
            wrong += rig.troubles(found, interval, min(first, _first(interval, there[0])))
            troubles += [f"{interval}, {hours:+} h: {text}" for text in wrong]
            step()
    return [
        figure(
            "our clock hours behind or ahead of the exchange's: exactly what has ended there is stored",
            where.kind,
            len(chosen),
            f"{len(troubles)} deviations at -26 to +26 hours",
            troubles,
        )
    ]


def midnight(where: Where, runs: int = 20, step: Step = no_step, *, seed: int = 9) -> list[Figure]:
    """Let midnight UTC pass before, between and after the requests of a load."""
    chance = random.Random(seed)
    troubles: list[str] = []
    between = 0
    there = [0.0]
    tick = [0.0]

    def advance() -> None:
        there[0] += tick[0]

    with exchange(lambda: there[0]) as (stage, base_url), database(where) as db:
        rig = _Rig(db, stage, base_url, there)
        stage.before = advance
        turn = (NOW // DAY + 1) * DAY
        for number in range(runs):
            interval = INTERVALS[number % len(INTERVALS)]
            db.empty()
            tick[0] = chance.choice((0.4, 1.0, 3.0, 45.0))
            # The exchange's date passes midnight at the first to the fourth request of the load.
            there[0] = turn - tick[0] * chance.uniform(0, 4)
            first = _first(interval, there[0])
            stage.forget_requests()
            found = rig.load(interval, lambda: there[0], first=True)
            between += len({request.at >= turn for request in stage.requests}) == 2
            wrong = rig.troubles(found, interval, first)
            there[0] += 2 * tick[0] + interval.seconds
            found = rig.load(interval, lambda: there[0], first=False)
            wrong += rig.troubles(found, interval, first)
            troubles += [f"{interval}, {tick[0]} s a request: {text}" for text in wrong]
            step()
    return [
        figure(
            "midnight UTC in the middle of a load: no running candle stored, none that ended is missing",
            where.kind,
            between,
            f"{len(troubles)} deviations in {runs} loads, {between} of which it fell into",
            troubles,
        )
    ]


def leap_day(where: Where, runs: int = 1, step: Step = no_step) -> list[Figure]:
    """Load years with and without a 29 February, and count their days by the calendar."""
    del runs
    days = 1_600
    troubles: list[str] = []
    last = date(2024, 3, 29)
    there = [float(NOW)]
    with exchange(lambda: there[0]) as (stage, base_url), database(where) as db:
        settings = load_settings(None, mb_api_base_url=base_url)
        with candle_source(settings, lambda: NOW) as source:
            store = SqlSeriesStore(db.engine)
            load_initial(store, source, lambda: NOW, BTC, Interval.DAY, history_days=days)
        found = content(db.engine, BTC, Interval.DAY)
        del stage
    calendar = [last - timedelta(days=back) for back in range(days + WARM_UP)][::-1]
    if [row.bucket for row in found.rows] != [timegm(day.timetuple()) for day in calendar]:
        troubles.append("the stored days are not those of the calendar")
    if not {date(2020, 2, 29), date(2024, 2, 29)} <= set(calendar):
        troubles.append("the period holds no leap days")
    troubles += disagreements(found, DAY)
    step()
    return [
        figure(
            "leap day: 2020-02-29 and 2024-02-29 are days like any other in rows and windows",
            where.kind,
            1,
            f"{len(found.rows):,} days, as the calendar counts them",
            troubles,
        )
    ]
