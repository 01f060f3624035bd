"""An API for spot prices, its stand-in exchange, and the collector beside it, over real HTTP."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.sandbox.exchange import COINGECKO_PATH, Exchange
from app.sandbox.prices import Quote, SimulatedPrices
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.commands import run
from tests.support.processes import Server, api_server, environment


@dataclass
class Prices:
    """Simulated prices, with others in their place: each a price in USD and its time, or null."""

    changed: dict[str, tuple[Decimal | None, int | None]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    _base: SimulatedPrices = field(default_factory=SimulatedPrices)

    def quotes(self, ids: Iterable[str], now: float) -> dict[str, Quote]:
        """See PriceBook.quotes."""
        found = {**self._base.quotes([item for item in ids if item not in self.unknown], now)}
        for coin_id in found.keys() & self.changed.keys():
            price, at = self.changed[coin_id]
            found[coin_id] = Quote({"usd": price}, int(now) if at is None else at)
        return found


@dataclass
class PriceShop:
    """One database, one source of prices, and who works with them."""

    exchange: Exchange
    prices: Prices
    environment: dict[str, str]
    folder: Path
    api: Server

    @property
    def database(self) -> str:
        """Where DB_URL's SQLite file lies."""
        return self.environment["DB_URL"].removeprefix("sqlite:///")

    def collect(self, symbol: str) -> tuple[int, dict[str, str], Any]:
        """POST /collect-once."""
        return self.api.ask("POST", f"/collect-once/{symbol}")

    def get(self, path: str) -> Any:
        """GET something that must be there."""
        status, _, body = self.api.ask("GET", path)
        assert status == 200, body
        return body

    def price(self, coin: str, price: str, updated_at: int | None = None) -> None:
        """Let a coin cost this much from now on."""
        self.prices.changed[coin] = (Decimal(price), updated_at)

    def asked(self) -> int:
        """How often the source was asked for prices."""
        return sum(item.path.endswith("/simple/price") for item in self.exchange.requests)

    def run(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run the collector to its end."""
        end = run(self.folder, "workers.price_collector", *arguments, **self.environment | changed)
        return subprocess.CompletedProcess(arguments, end.code, end.shown, end.said)

    def start(self, *arguments: str, **changed: str) -> subprocess.Popen[str]:
        """Start the collector."""
        return subprocess.Popen(
            [sys.executable, "-m", "app.workers.price_collector", *arguments],
            env=self.environment | changed,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def price_shop(folder: Path, **changed: str) -> Iterator[PriceShop]:
    """A shop with an empty database; settings other than the usual ones as keywords."""
    prices = Prices()
    exchange = Exchange(Simulation(4), clock=time.time, prices=prices)
    with serve(exchange) as url:
        settings = {
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            **changed,
        }
        known = environment(folder, **settings)
        with api_server(known, folder) as api:
            yield PriceShop(exchange, prices, known, folder, api)
