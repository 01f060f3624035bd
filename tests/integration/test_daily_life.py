"""The loaders over months: missed days, revised candles, two at once. Real commands, real HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from app.core.market import DAY, WINDOWS
from app.sandbox.exchange import Exchange
from app.sandbox.simulation import Simulation
from app.sandbox.wire import Reply
from tests.support.candles import BTC_DAILY
from tests.support.commands import BTC, Service, days_ago, service
from tests.support.patience import until
from tests.support.processes import DEADLINE, process


@dataclass
class Clock:
    """The exchange's clock, which a test sets."""

    now: float

    def __call__(self) -> float:
        return self.now


class Doored(Exchange):
    """An exchange that answers nobody while its door is not open."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(Simulation(11, {BTC: None}), clock=clock)
        self.open = threading.Event()
        self.open.set()

    def answer(self, target: str) -> Reply:
        reply = super().answer(target)
        self.open.wait(DEADLINE)
        return reply


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time())


@pytest.fixture
def exchange(clock: Clock) -> Doored:
    return Doored(clock)


@pytest.fixture
def shop(tmp_path: Path, exchange: Doored) -> Iterator[Service]:
    """A service of 120 days, nothing loaded yet."""
    with service(tmp_path, exchange, HISTORY_DAYS="120") as made:
        yield made


def by_hand(rows: list[Any]) -> list[Any]:
    """The rows with their averages recomputed by rational arithmetic from the closes."""
    closes = [row[1] for row in rows]
    return [
        (
            *row[:2],
            *(
                round(Fraction(sum(closes[i + 1 - n : i + 1]), n)) if i + 1 >= n else None
                for n in WINDOWS
            ),
        )
        for i, row in enumerate(rows)
    ]


def test_missed_days_and_an_old_revision_end_as_a_clean_load(shop: Service, clock: Clock) -> None:
    clock.now -= 40 * DAY
    first = shop.run("workers.initial_loader")
    assert first.series["inserted"] == 120 + 199 - 40
    assert first.summary["events"]["CandlesLoaded"] >= 1
    assert first.summary["events"]["dropped"] == 0
    clock.now += 40 * DAY
    caught_up = shop.run("workers.incremental_loader").series
    assert (caught_up["inserted"], caught_up["unchanged"]) == (40, 3)
    before = shop.rows()
    assert before == by_hand(before)
    revised = days_ago(150)
    [old] = shop.exchange.book.candles(BTC_DAILY, revised, revised, clock.now)
    new = replace(old, close=old.low if old.close != old.low else old.high)
    shop.exchange.book.replace(BTC_DAILY, [new])
    assert shop.run("workers.incremental_loader").series["revised"] == 0
    report = shop.run("workers.incremental_loader", "--reread", "200").series
    assert (report["revised"], report["averages"]) == (1, 151)
    after = shop.rows()
    assert after == by_hand(after)
    changed = {row[0] for row, was in zip(after, before, strict=True) if row != was}
    assert changed == {revised + number * DAY for number in range(151)}
    shop.database.unlink()
    assert shop.run("workers.initial_loader").code == 0
    assert shop.rows() == after


def test_a_second_loader_waits_for_the_first_and_then_has_nothing_left_to_do(
    shop: Service, exchange: Doored
) -> None:
    assert shop.run("workers.initial_loader").code == 0
    # A minute ago: check times are whole seconds, and two loads in one second look the same.
    shop.query("UPDATE series SET checked_at = checked_at - 60")
    exchange.forget_requests()
    exchange.open.clear()
    command = ["-m", "app.workers.incremental_loader", "--json"]
    with (
        process(shop.folder, *command, **shop.settings) as first,
        process(shop.folder, *command, **shop.settings) as second,
    ):
        try:
            until(lambda: exchange.requests != ())
            ends: dict[str, dict[str, Any]] = {}
            for child in (first, second):
                assert child.stderr is not None
            said: list[str] = []
            listeners = [
                threading.Thread(target=lambda child=child: said.extend(child.stderr))
                for child in (first, second)
            ]
            for listener in listeners:
                listener.start()
            until(lambda: any('"load_waits_for_another"' in line for line in said))
        finally:
            exchange.open.set()
        for child in (first, second):
            assert child.stdout is not None
            series = json.loads(child.stdout.read())["series"][0]
            ends[series["status"]] = series
            assert child.wait(DEADLINE) == 0
        for listener in listeners:
            listener.join()
    assert ends.keys() == {"ok", "taken"}
    assert ends["taken"]["error"] == "TakenByAnother"
    assert len(exchange.requests) == 1
    assert shop.query("SELECT * FROM leases") == []
