"""The one place that names concrete classes: settings become engine, stores and sources.

The API and every command call this and nothing else to get what they work with. NumPy is not
imported from here: the API does without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from app.core.market import AverageSlice, Interval, Pair, Window
from app.core.ports import AverageStore, Cache, CandleSource, Clock, Gate, Leases, SeriesStore
from app.core.prices import PriceSource, PriceStore
from app.core.settings import Settings, cache_nodes
from app.core.upstream import host_of
from app.db import schema, session, soundness
from app.db.cache.layers import LayeredCache
from app.db.cache.memcached import MemcachedRing
from app.db.cache.memory import MemoryCache
from app.db.cached import CachedAverageStore
from app.db.database import alone, served
from app.db.gate import DatabaseGate
from app.db.leases import SqlLeases
from app.events import listeners
from app.events.bus import EventBus, Listener, Listeners
from app.events.types import (
    AnomalyDetected,
    AveragesCalculated,
    CandleRevised,
    CandlesLoaded,
    CandlesRefused,
    Event,
    GapDetected,
    PriceCollected,
)
from app.sources import coingecko, coingecko_errors
from app.sources import mercado_bitcoin as official
from app.sources import mercado_bitcoin_legacy as legacy
from app.sources.gate import USED, HostGate
from app.sources.http import UpstreamHttp
from app.sources.retry import RetryPolicy
from app.utils.days import served_period

GateFor = Callable[[str, float], Gate]
"""Makes the gate in front of a host, from its name and the requests per second that it allows."""


@dataclass(frozen=True)
class Runtime:
    """What a process works with. `close` gives everything back; call it once, at the end."""

    settings: Settings
    clock: Clock
    series: SeriesStore
    averages: AverageStore
    leases: Leases
    events: EventBus
    event_counts: Callable[[], dict[str, int]]
    """How many events of each kind were delivered so far, and under `dropped` how many were lost."""
    prices: PriceStore
    price_source: Callable[[], PriceSource]
    """Where spot prices come from; opened when it is first needed. Raises ConfigurationError."""
    gate_for: GateFor
    """Gates that all processes on this database share."""
    ping: Callable[[], None]
    """Asks the database that reads go to the smallest question. Raises StoreError."""
    cache_healthy: Callable[[], bool]
    """Whether the cache works; where it does not, reads are slower and nothing else."""
    close: Callable[[], None]


def for_api(settings: Settings) -> Runtime:
    """What the API works with: as `build`, and reads go to the replica where there is one."""
    return build(settings, serve=True)


def build(
    settings: Settings,
    clock: Clock = time.time,
    *,
    create: bool = True,
    serve: bool = False,
    busy_seconds: int = session.BUSY_SECONDS,
) -> Runtime:
    """Open the database and wire everything up.

    With `serve` nobody waits long for a PostgreSQL that does not answer, reads go to DB_READ_URL's, and
    whoever asks for a price is told soon when others are before it. `busy_seconds` is how long a write
    waits for a locked SQLite file.

    A SQLite file is looked through for damage first, unless it is large, or one is to `serve`: what only
    reads changes nothing.

    In `dev` the database is made and migrated where that is needed, unless `create` is False; in
    `prod` it must be there already. Raises StoreError where it cannot be used, ConfigurationError
    where DB_URL or DB_READ_URL cannot be read.
    """
    if not create:
        session.require_file(settings.db_url)
    database = alone(session.open_engine(settings.db_url, busy_seconds))
    try:
        if not serve:
            # Whoever makes no database looks into one, and once an hour may take its time for that.
            soundness.require_sound(database.engine, soundness.QUICK if create else None)
        if settings.env == "dev" and create:
            schema.migrate(database.engine)
        schema.require(database.engine)
        if serve and database.engine.dialect.name != session.SQLITE:
            database.close()
            database = served(settings.db_url, settings.db_read_url)
    except BaseException:
        database.close()
        raise
    engine = database.engine
    cache = _cache(settings)
    stored = database.series
    averages = stored if cache is None else CachedAverageStore(stored, cache)
    counts = listeners.EventCounts()
    events = EventBus(_listeners(settings, clock, averages, counts))

    def gate_for(host: str, rate: float) -> Gate:
        return DatabaseGate(engine, host, rate)

    policy = coingecko.POLICY if serve else coingecko.PATIENT
    source = _Once(lambda: open_price_source(settings, gate_for, clock, policy))

    def close() -> None:
        events.close()
        source.close()
        if cache is not None:
            cache.close()
        database.close()

    return Runtime(
        settings=settings,
        clock=clock,
        series=stored,
        averages=averages,
        leases=SqlLeases(engine),
        events=events,
        event_counts=lambda: {**counts.so_far(), "dropped": events.dropped},
        prices=database.prices,
        price_source=source.get,
        gate_for=gate_for,
        ping=database.ping,
        cache_healthy=lambda: cache is None or cache.healthy(),
        close=close,
    )


def _cache(settings: Settings) -> Cache | None:
    """The cache that CACHE_URL names; None for none at all."""
    if settings.cache_url == "none://":
        return None
    near = MemoryCache(settings.cache_ttl_seconds)
    if settings.cache_url == "memory://":
        return near
    far = MemcachedRing(cache_nodes(settings.cache_url), settings.cache_ttl_seconds)
    return LayeredCache(near, far)


def _listeners(
    settings: Settings, clock: Clock, averages: AverageStore, counts: listeners.EventCounts
) -> Listeners:
    """Who hears what."""
    # A load that failed is logged by its command, at once: that line must not wait or be dropped.
    logged = (CandlesLoaded, AveragesCalculated, CandleRevised, CandlesRefused, GapDetected)
    heard: dict[type[Event], list[Listener]] = {kind: [listeners.log_line] for kind in logged}
    heard[Event] = [counts]
    shared = settings.cache_url.startswith("memcached://")
    if shared and isinstance(averages, CachedAverageStore):

        def read(pair: Pair, interval: Interval, window: Window) -> AverageSlice:
            period = served_period(interval, settings.history_days, clock())
            averages.refresh(pair, interval)
            return averages.read(pair, interval, window, period.first, period.last)

        # Only a shared cache is of use to other processes, and only others serve what is loaded here.
        heard[AveragesCalculated].append(listeners.cache_warming(read))
    episodes = listeners.AnomalyEpisodes()
    heard[AnomalyDetected] = [episodes.detected]
    heard[PriceCollected] = [episodes.collected]
    return heard


@contextmanager
def open_price_source(
    settings: Settings,
    gate_for: GateFor = HostGate,
    clock: Clock = time.time,
    policy: RetryPolicy = coingecko.POLICY,
) -> Iterator[PriceSource]:
    """CoinGecko at COINGECKO_API_BASE_URL; its connections are given back at the end.

    A failed call is not repeated: it counts against the same budget as a good one.
    """
    base_url = settings.coingecko_api_base_url
    gate = gate_for(host_of(base_url), settings.coingecko_requests_per_second * USED)
    key = settings.coingecko_api_key
    with UpstreamHttp(
        base_url,
        gate,
        read_error=coingecko_errors.read_error,
        policy=policy,
        bounds=coingecko.BOUNDS,
        secrets=coingecko.key_headers(base_url, key.get_secret_value() if key else None),
        clock=clock,
    ) as http:
        yield coingecko.CoinGecko(http, clock)


class _Once:
    """A context that is entered when it is first needed, and left with the process."""

    def __init__(self, opened: Callable[[], AbstractContextManager[PriceSource]]) -> None:
        self._opened = opened
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._source: PriceSource | None = None

    def get(self) -> PriceSource:
        """The source, opened now if it is not yet."""
        with self._lock:
            if self._source is None:
                self._source = self._stack.enter_context(self._opened())
            return self._source

    def close(self) -> None:
        """Give back what was opened."""
        with self._lock:
            self._stack.close()
            self._source = None


@contextmanager
def open_candle_source(
    settings: Settings, gate_for: GateFor = HostGate, clock: Clock = time.time
) -> Iterator[CandleSource]:
    """The exchange that CANDLE_SOURCE names; its connections are given back at the end.

    Raises ConfigurationError where its base URL cannot be used.
    """
    made: Callable[[UpstreamHttp, Clock], CandleSource]
    if settings.candle_source == "mercado_bitcoin_legacy":
        base_url, reader = settings.mb_legacy_api_base_url, legacy.read_error
        made = legacy.MercadoBitcoinLegacy
    else:
        base_url, reader = settings.mb_api_base_url, official.read_error
        made = official.MercadoBitcoin
    gate = gate_for(host_of(base_url), settings.mb_requests_per_second * USED)
    policy = RetryPolicy(total=settings.upstream_retry_seconds)
    with UpstreamHttp(base_url, gate, read_error=reader, policy=policy, clock=clock) as http:
        yield made(http, clock)
