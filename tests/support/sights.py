"""A service with something of everything that a page can show, for tests that look at one.

The candles are simulated and go wrong as the demo's do. A loader brings them from a stand-in
exchange; the tests themselves are the processes that load later.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from app.core.market import Interval, Series
from app.core.prices import Coin, SpotPrice
from app.db.database import open_engine
from app.db.stores.prices import SqlPriceStore
from app.domain.fixed_point import kept
from app.sandbox.book import newest
from app.sandbox.exchange import Exchange
from app.sandbox.fault_kinds import Revise
from app.sandbox.incidents import Incidents, MissingDays
from app.sandbox.simulation import Simulation
from tests.support.commands import BTC, Service, service
from tests.support.processes import DEADLINE, ROOT
from tests.support.served import Served, api

DAILY: Final = Series(BTC, Interval.DAY)
LIBRARY: Final = ROOT / "app" / "api" / "page" / "library" / "lightweight-charts.js"
AXE: Final = ROOT / ".tools" / "npm" / "node_modules" / "axe-core" / "axe.min.js"

_PRICES: Final = {"BTC": 83_710.87, "ETH": 4_494.12, "SOL": 152.37, "ADA": 0.885, "DOT": 5.667}
_COLLECTIONS: Final = 60


@dataclass(frozen=True)
class Sights:
    """The service's commands, the days that its daily BTC-BRL lacks, and the one that was revised.

    `days.lasting` is confirmed absent, `days.refused` was refused, `days.late` is absent.
    """

    service: Service
    days: MissingDays
    revised: int

    def revise(self) -> int:
        """Change the newest closed candle at the exchange, and load it; returns its bucket."""
        now = time.time()
        last = Interval.DAY.last_closed(now)
        book = self.service.exchange.book
        book.replace(
            DAILY, Revise(value=Decimal("1.01")).change(newest(book, DAILY, 0, last, now, 1)[0])
        )
        assert self.service.run("workers.incremental_loader").code == 0
        return last

    def collect(self, symbol: str, price: str) -> None:
        """Store a price of now in USD, as a collector does."""
        self.store([(symbol, price, int(time.time()))])

    def store(self, prices: Sequence[tuple[str, str, int]]) -> None:
        """Store prices in USD, each with its symbol and unix time."""
        engine = open_engine(f"sqlite:///{self.service.database}")
        try:
            store = SqlPriceStore(engine)
            for symbol, price, at in prices:
                store.add([SpotPrice(Coin.parse(symbol), kept(price), "usd", at)], at)
        finally:
            engine.dispose()


@contextmanager
def sights(folder: Path) -> Iterator[Sights]:
    """A database in `folder` with two pairs at 1d and 1h, and an hour of prices; BTC's jumped."""
    now = time.time()
    exchange = Exchange(Simulation(1), clock=time.time)
    days = MissingDays.before(now)
    incidents = Incidents(exchange.book, DAILY, days, now)
    usual = {"ALLOWED_PAIRS": "BRLBTC,BRLETH", "INTERVALS": "1d,1h", "HISTORY_DAYS": "365"}
    with service(folder, exchange, **usual) as loaders:
        incidents.begin()
        assert loaders.run("workers.initial_loader").code == 0
        incidents.end()
        assert loaders.run("workers.incremental_loader", "--reread", "30").code == 0
        loaders.query(
            "UPDATE absences SET first_asked_at = first_asked_at - 200000 WHERE bucket = ?",
            days.lasting,
        )
        ((revised,),) = loaders.query("SELECT bucket FROM candle_revisions")
        seen = Sights(loaders, days, revised)
        seen.store(_hour_of_prices(int(now)))
        yield seen


def _hour_of_prices(now: int) -> list[tuple[str, str, int]]:
    chance = random.Random(1)
    walks = dict(_PRICES)
    prices = []
    for back in reversed(range(_COLLECTIONS)):
        for symbol, price in walks.items():
            jump = 1.1 if (symbol, back) == ("BTC", 0) else 1.0
            walks[symbol] = price * (1 + chance.gauss(0, 0.001)) * jump
            prices.append((symbol, f"{walks[symbol]:.8f}", now - 60 * back))
    return prices


@dataclass(frozen=True)
class Site:
    """A served database with sights."""

    sights: Sights
    served: Served

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://127.0.0.1:{self.served.port}"

    def text(self, path: str) -> str:
        """The body that the API answers."""
        return answer(self.served.port, path)

    def read(self, path: str) -> Any:
        """The same as JSON, each number as the text that stands there."""
        return json.loads(self.text(path), parse_float=str, parse_int=str)


def answer(port: int, path: str) -> str:
    """The body that an API at this port answers; it has to be a good one."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read().decode()
        assert reply.status == 200, body
        return body


@contextmanager
def serving(seen: Sights, *arguments: str, name: str = "api", **settings: str) -> Iterator[Site]:
    """An API of its own over the database of these sights."""
    kept_settings = seen.service.settings | settings
    with api(seen.service.folder, name, *arguments, **kept_settings) as served:
        yield Site(seen, served)
