"""Closed candles that the exchange revises: only the averages that contain them change."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Final

from app.core.market import WINDOWS, Interval, Series
from app.core.settings import load_settings
from app.db.stores.series import SqlSeriesStore
from app.domain.revisions import changed_at
from app.events.types import CandleRevised, Event
from app.sandbox.book import Bar
from app.services.loading import load, plan_load
from benchmarks.reliability import rig
from benchmarks.reliability.content import Content, content, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step

DAY: Final = Interval.DAY
SERIES: Final = Series(rig.BTC, DAY)
HISTORY: Final = 365
MOST: Final = 5
"""Candles that are revised together, at the most."""


def measure(
    where: rig.Where, runs: int = 50, step: Step = no_step, *, seed: int = 3
) -> list[Figure]:
    """Revise a few closes, load, and compare; `runs` times on one database."""
    chance = random.Random(seed)
    troubles: list[str] = []
    recomputed = 0
    with (
        rig.exchange() as (stage, base_url),
        rig.database(where) as db,
        rig.candle_source(load_settings(None, mb_api_base_url=base_url), lambda: rig.NOW) as source,
    ):
        store = SqlSeriesStore(db.engine)
        rig.load(db, base_url, DAY, HISTORY)
        for number in range(runs):
            before = content(db.engine, SERIES)
            chosen = sorted(chance.sample(before.rows, chance.randint(1, MOST)))
            revised = {row.bucket: _revise(stage, row.bucket, chance) for row in chosen}
            now = rig.NOW + 60 * (number + 1)
            told: list[Event] = []
            plan = plan_load(store, SERIES, now, history_days=HISTORY, reread=len(before.rows))
            report = load(
                plan,
                store,
                source,
                lambda now=now: now,  # type: ignore[misc] # a clock that stands
                publish=told.append,
            )
            after = content(db.engine, SERIES)
            troubles += _troubles(before, after, revised, now)
            troubles += disagreements(after, DAY.seconds)
            heard = {event.bucket for event in told if isinstance(event, CandleRevised)}
            if heard != revised.keys() or report.revised != len(revised):
                troubles.append(f"{len(heard)} events for {len(revised)} revised candles")
            recomputed += report.averages
            step()
        troubles += _recorded(db)
    return [
        figure(
            "revised candle: its averages equal a full recomputation, the others are untouched",
            where.kind,
            runs,
            f"{recomputed:,} rows of averages recomputed, {len(troubles)} wrong or touched in vain",
            troubles,
        )
    ]


def _revise(stage: rig.Stage, bucket: int, chance: random.Random) -> Bar:
    """Let the exchange change its mind about a closed candle; returns what it says now."""
    bar = stage.book.candles(SERIES, bucket, bucket, rig.NOW)[0]
    close = bar.low + (bar.high - bar.low) * chance.randint(0, 1_000) / 1_000
    ticks = close.quantize(bar.close) if close != bar.close else bar.high
    assert isinstance(bar.volume, Decimal), "the simulation has volumes"
    new = replace(bar, close=ticks, volume=bar.volume + 1)
    stage.book.replace(SERIES, [new])
    return new


def _troubles(before: Content, after: Content, revised: dict[int, Bar], now: int) -> list[str]:
    """What is not as the revision of exactly these candles must leave it."""
    troubles = []
    closes = {row.bucket: row.close for row in before.rows}
    for was, row in zip(before.rows, after.rows, strict=True):
        if (was[:6] != row[:6]) != (row.bucket in revised):
            troubles.append(f"the candle of {row.bucket} was changed in vain, or not changed")
        for window, old, new in zip(WINDOWS, was[7:], row[7:], strict=True):
            within = range(row.bucket, row.bucket - window * DAY.seconds, -DAY.seconds)
            sums = sum(_change(bucket, revised, closes) for bucket in within)
            # A change that is smaller than half a tick of the mean may leave it as it was.
            if old != new and not any(bucket in revised for bucket in within):
                troubles.append(f"the {window}-day average of {row.bucket} was touched")
            if old is not None and old == new and abs(sums) > window:
                troubles.append(f"the {window}-day average of {row.bucket} was left behind")
    if after.revision <= before.revision or changed_at(after.revision) != now:
        troubles.append("the revision does not tell of the change")
    return troubles


def _change(bucket: int, revised: dict[int, Bar], closes: dict[int, int]) -> int:
    if bucket not in revised:
        return 0
    return int(revised[bucket].close.scaleb(8)) - closes[bucket]


def _recorded(db: rig.Database) -> list[str]:
    """Each record of a revision must begin where the one before it ended."""
    revisions = SqlSeriesStore(db.engine).revisions(SERIES, 100_000)
    last: dict[int, int] = {}
    troubles = []
    for item in reversed(revisions):
        if last.get(item.old.bucket, item.old.close) != item.old.close:
            troubles.append(f"the records of {item.old.bucket} do not follow one another")
        last[item.new.bucket] = item.new.close
    return troubles
