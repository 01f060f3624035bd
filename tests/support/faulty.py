"""An exchange with faults, the real sources in front of it, and what must be true afterwards.

Time stands still unless somebody sleeps: waiting for seven seconds takes none.
"""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import httpx

from app.core.market import WARM_UP, WINDOWS, AverageRow, Candle, Interval, Pair
from app.core.ports import CandleSource, Clock
from app.db import schema
from app.db.prices import SqlPriceStore
from app.db.series import SqlSeriesStore
from app.db.session import open_engine
from app.sandbox.book import ReplayBook
from app.sandbox.exchange import COINGECKO_PATH, LEGACY_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.services.loaders import load_incremental, load_initial
from app.services.loading import LoadReport
from app.sources import coingecko_errors
from app.sources import mercado_bitcoin as official
from app.sources import mercado_bitcoin_legacy as legacy
from app.sources.coingecko import POLICY, CoinGecko
from app.sources.gate import HostGate
from app.sources.http import Bounds, UpstreamHttp
from app.sources.replies import ErrorReader
from app.sources.retry import RetryPolicy
from app.utils import fixed_point

BTC = Pair("BTC", "BRL")
DAY = Interval.DAY
NOW = 1_711_829_417
"""2024-03-30 20:10:17."""
LAST = DAY.last_closed(NOW)
SERVED = 10
FIRST = LAST - (SERVED + WARM_UP - 1) * DAY.seconds

FORMATS = ("v4", "legacy")
THRICE = RetryPolicy(attempts=3, base=1.0, cap=2.0, total=1_000.0)
ONCE = RetryPolicy(attempts=1)
# The host is on loopback: whatever takes longer than this is a fault.
SHORT = Bounds(connect=2.0, read=0.25, deadline=0.5)
# For what must not be taken for a fault while the machine is busy with other things.
LONG = Bounds(connect=10.0, read=10.0, deadline=20.0)

_READERS: dict[str, tuple[str, ErrorReader, Callable[[UpstreamHttp, Clock], CandleSource]]] = {
    "v4": (V4_PATH, official.read_error, official.MercadoBitcoin),
    "legacy": (LEGACY_PATH, legacy.read_error, legacy.MercadoBitcoinLegacy),
}

Rows = list[tuple[Candle, AverageRow]]


@dataclass
class Time:
    """Seconds that pass only while somebody sleeps."""

    passed: float = 0.0

    def ticks(self) -> float:
        """Seconds since the test began."""
        return self.passed

    def clock(self) -> float:
        """The unix time."""
        return NOW + self.passed

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        assert 0 <= seconds < 10_000
        self.passed += seconds


@dataclass
class Rig:
    """One exchange, one database, and a way to the exchange in either format."""

    exchange: Exchange
    url: str
    store: SqlSeriesStore
    price_store: SqlPriceStore
    time: Time
    _closing: ExitStack

    def candles(
        self, form: str, policy: RetryPolicy = THRICE, bounds: Bounds = LONG
    ) -> CandleSource:
        """The real source of one format, through a gate of its own."""
        path, reader, made = _READERS[form]
        return made(self._http(path, reader, policy, bounds), self.time.clock)

    def prices(self, bounds: Bounds = LONG) -> CoinGecko:
        """The real source of spot prices."""
        http = self._http(COINGECKO_PATH, coingecko_errors.read_error, POLICY, bounds)
        return CoinGecko(http, self.time.clock)

    def load(self, source: CandleSource) -> LoadReport:
        """The initial load, which ends with an incremental one."""
        clock = self.time.clock
        return load_initial(self.store, source, clock, BTC, DAY, history_days=SERVED)

    def catch_up(self, source: CandleSource) -> LoadReport:
        """An incremental load."""
        clock = self.time.clock
        return load_incremental(self.store, source, clock, BTC, DAY, history_days=SERVED)

    def stored(self) -> Rows:
        """Everything that is stored."""
        return self.store.rows(BTC, DAY, 0, 2**40)[1]

    def whole(self) -> bool:
        """Whether the database holds what an undisturbed load leaves, to the last digit."""
        return self.stored() == by_hand(truth())

    def asked(self) -> int:
        """How many requests have arrived."""
        return len(self.exchange.requests)

    def _http(
        self, path: str, reader: ErrorReader, policy: RetryPolicy, bounds: Bounds
    ) -> UpstreamHttp:
        ticks, sleep = self.time.ticks, self.time.sleep
        gate = HostGate("loopback", 10_000.0, monotonic=ticks, sleep=sleep)
        http = UpstreamHttp(
            self.url + path,
            gate,
            read_error=reader,
            policy=policy,
            bounds=bounds,
            clock=self.time.clock,
            monotonic=ticks,
            sleep=sleep,
            random=lambda: 0.5,
            transport=httpx.HTTPTransport(verify=_certificates()),
        )
        return self._closing.enter_context(http)


@dataclass(frozen=True)
class Served:
    """An exchange that serves, by a time of its own."""

    exchange: Exchange
    url: str
    time: Time


@contextmanager
def served() -> Iterator[Served]:
    """An exchange on a port, for many tests one after the other."""
    time = Time()
    exchange = Exchange(market(), clock=time.clock)
    with serve(exchange) as url:
        yield Served(exchange, url, time)


@contextmanager
def rig(stand_in: Served, empty: Path, folder: Path) -> Iterator[Rig]:
    """The exchange as if it had just been started, and a database of its own: a copy of `empty`."""
    exchange, time = stand_in.exchange, stand_in.time
    exchange.faults.clear()
    exchange.forget_requests()
    time.passed = 0.0
    engine = open_engine(f"sqlite:///{shutil.copy(empty, folder / 'mms.db')}")
    try:
        with ExitStack() as closing:
            stores = SqlSeriesStore(engine), SqlPriceStore(engine)
            yield Rig(exchange, stand_in.url, *stores, time, closing)
    finally:
        engine.dispose()


@cache
def market() -> ReplayBook:
    """A simulated market, simulated once: its days up to the running one, at NOW."""
    made = Simulation(7)
    return ReplayBook({(BTC, DAY): made.candles(BTC, DAY, FIRST, NOW, NOW)})


@cache
def truth() -> tuple[Candle, ...]:
    """The candles of the closed days, as they must be stored."""
    return tuple(
        Candle(bar.stamp, *(fixed_point.exact(f"{number:f}") for number in numbers))
        for bar in market().candles(BTC, DAY, FIRST, LAST, NOW)
        for numbers in [(bar.open, bar.high, bar.low, bar.close, bar.volume)]
    )


@cache
def _certificates() -> ssl.SSLContext:
    # Reading them takes longer than a load, and nothing here speaks TLS.
    return ssl.create_default_context()


def migrated(folder: Path) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = folder / "empty.db"
    engine = open_engine(f"sqlite:///{path}")
    schema.migrate(engine)
    engine.dispose()
    return path


def by_hand(candles: Sequence[Candle]) -> Rows:
    """What must be stored where these candles are: averages by rational arithmetic."""
    closes = {candle.bucket: candle.close for candle in candles}
    return [
        (candle, AverageRow(candle.bucket, tuple(_mean(closes, candle.bucket, n) for n in WINDOWS)))
        for candle in candles
    ]


def _mean(closes: dict[int, int], bucket: int, window: int) -> int | None:
    values = [closes.get(bucket - back * DAY.seconds) for back in range(window)]
    known = [value for value in values if value is not None]
    return round(Fraction(sum(known), window)) if len(known) == window else None
