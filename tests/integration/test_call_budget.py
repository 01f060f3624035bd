"""A month's calls to CoinGecko under clients that never stop: the collector gets its share.

Time is simulated; store and rate limiter are those of a SQLite file.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from app.core.errors import BudgetSpent, OutOfTurn
from app.core.market import DAY
from app.core.prices import COIN_IDS, Coin, PriceReply, SpotPrice, Thresholds
from app.db import schema
from app.db.database import open_engine
from app.db.session import transaction
from app.db.stores.prices import SqlPriceStore
from app.db.stores.rate_limiter import SharedRateLimiter
from app.domain.call_budget import CallBudget
from app.services.anomalies import PriceRules
from app.services.prices import collect, collect_unless_recent
from tests.support.figures import say

RULES = PriceRules("usd", Thresholds(Decimal("0.05")), 900)
COINS = [Coin(symbol, name) for symbol, name in COIN_IDS.items()]
JANUARY = 1_704_067_200
"""2024-01-01, the first second of a month of 31 days."""

HOST = "api.coingecko.com"
A_SECOND = 20
POLL = 300
LEAST_AGE = 60
RATE = 0.45
MONTHLY = 10_000


def migrated(url: str) -> Engine:
    """A migrated SQLite file, which no power cut has to survive."""
    engine = open_engine(url)

    @event.listens_for(engine, "connect")
    def _quick(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF").close()

    schema.migrate(engine)
    return engine


@dataclass
class Watch:
    """The simulated time."""

    now: float

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Source:
    """A PriceSource that records when it was asked; `patience` is how long it waits for a turn."""

    limiter: SharedRateLimiter
    watch: Watch
    patience: float
    asked: list[float] = field(default_factory=list)

    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        self.limiter.enter(self.patience)
        self.asked.append(self.watch.now)
        at = int(self.watch.now)
        return PriceReply(tuple(SpotPrice(coin, 10**8, currency, at) for coin in coins), (), at)


class Clients:
    """The collector from the unix time `start`, and clients that POST for each symbol in turn."""

    def __init__(self, engine: Engine, start: int, monthly: int = MONTHLY) -> None:
        self.start = start
        self.watch = Watch(start)
        self.store = SqlPriceStore(engine)
        self.collector = self._source(engine, None, 60.0)
        # A client's request waits for no turn here, so that waiting moves nobody's time.
        self.clients = self._source(engine, CallBudget(monthly, POLL), 0.0)
        self.replies: Counter[str] = Counter()

    def _source(self, engine: Engine, budget: CallBudget | None, patience: float) -> Source:
        limiter = SharedRateLimiter(
            engine,
            HOST,
            RATE,
            call_budget=budget,
            clock=self.watch.read,
            monotonic=self.watch.read,
            sleep=self.watch.sleep,
        )
        return Source(limiter, self.watch, patience)

    def run(self, seconds: int, *, each: bool = False) -> None:
        """Let POSTs and collections come for so long.

        A reply that is the same until a moment is counted for all POSTs before it, unless `each` of
        them is to be made.
        """
        posts = list(enumerate(COINS))
        for poll in range(0, seconds, POLL):
            self.poll(poll)
            following = min(poll + POLL, seconds)
            while posts[0][0] < following * A_SECOND:
                number, coin = posts[0]
                reply, until = self.post(coin, self.start + number / A_SECOND)
                end = 0 if each else following
                same = min(ceil((until - self.start) * A_SECOND), end * A_SECOND)
                count = max(1, ceil((same - number) / len(COINS)))
                self.replies[reply] += count
                heapq.heapreplace(posts, (number + count * len(COINS), coin))

    def poll(self, second: int) -> None:
        """Collect all symbols, as the collector does."""
        self.watch.now = max(self.watch.now, self.start + second)
        done = collect(self.collector, self.store, COINS, RULES, publish=lambda event: None)
        assert len(done.stored) == len(COINS)

    def post(self, coin: Coin, at: float) -> tuple[str, float]:
        """The reply to a POST, and until when it stays the same, unless a collection comes."""
        now = self.watch.now = max(self.watch.now, at)
        try:
            price, age = collect_unless_recent(
                self.clients,
                self.store,
                coin,
                RULES,
                least_age=LEAST_AGE,
                now=now,
                publish=lambda event: None,
            )
        except OutOfTurn as error:
            return "429 out of turn", now + (error.retry_after or 0)
        except BudgetSpent:
            # With each POLL of the month that has passed, less is reserved.
            return "429 budget spent", at + POLL - (at - self.start) % POLL
        if age is None:
            return "200 collected", at
        assert 0 <= age < LEAST_AGE
        return "200 stored before", price.collected_at + LEAST_AGE


@pytest.mark.parametrize("day", [1, 31])
def test_twenty_posts_a_second_for_a_day_leave_the_collector_its_month(
    sqlite_url: str, day: int
) -> None:
    engine = migrated(sqlite_url)
    clients = Clients(engine, JANUARY + (day - 1) * DAY)
    before = (day - 1) * DAY // POLL
    with transaction(engine) as connection:
        connection.execute(
            text("INSERT INTO gates VALUES (:host, 0, 0, 202401, :calls)"),
            {"host": HOST, "calls": before},
        )
    clients.run(DAY)
    engine.dispose()
    replies = clients.replies
    assert replies.total() == A_SECOND * DAY
    assert len(clients.collector.asked) == DAY // POLL
    assert len(clients.clients.asked) == replies["200 collected"] == 1_070
    say(f"day {day}: {len(clients.collector.asked)} calls by the collector, {dict(replies)}")
    after = (31 - day) * DAY // POLL
    assert before + DAY // POLL + 1_070 + after <= MONTHLY


def test_what_is_counted_at_once_is_what_each_post_gets(tmp_path: Path) -> None:
    replies = []
    for each in (True, False):
        engine = migrated(f"sqlite:///{tmp_path / str(each)}.db")
        clients = Clients(engine, JANUARY, monthly=31 * DAY // POLL + 9)
        clients.run(POLL + 90, each=each)
        replies.append(clients.replies)
        engine.dispose()
    assert replies[0] == replies[1]
    assert len(replies[0]) == 4
