"""The one place that names concrete classes: settings become engine, stores and sources.

The API and every command call this and nothing else to get what they work with. NumPy is not
imported from here: the API does without it. httpx is imported when a source is opened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from app.core.api_keys import COLLECT, READ
from app.core.errors import ConfigurationError
from app.core.how_to_run import how_to_run
from app.core.logging import structlog
from app.core.market import AverageSlice, Series, Window
from app.core.ports import (
    AverageStore,
    CandleSource,
    Clock,
    HostClocks,
    Leases,
    RateLimiter,
    RequestRate,
    SeriesStore,
    WarmAverages,
)
from app.core.prices import Coin, PriceReply, PriceSource, PriceStore
from app.core.setting_edge import Rate
from app.core.setting_urls import cache_nodes, host_of
from app.core.settings import Settings
from app.db.cache.averages import CachedAverageStore, block_memory
from app.db.cache.request_rate import LocalRequestRate, Merging
from app.db.database import Database, open_for_api, open_for_command
from app.db.sqlite import BUSY_SECONDS
from app.db.stores.host_clocks import SqlHostClocks
from app.db.stores.leases import SqlLeases
from app.db.stores.rate_limiter import SharedRateLimiter
from app.domain.call_budget import CallBudget
from app.domain.times import served_period
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
from app.services.anomalies import PriceRules
from app.services.health import Health, WatchedSource
from app.sources import coingecko
from app.sources import mercado_bitcoin as official
from app.sources import mercado_bitcoin_legacy as legacy
from app.sources.local_rate_limiter import USED, LocalRateLimiter
from app.sources.network import Network, network_to
from app.sources.retry import RetryPolicy

if TYPE_CHECKING:
    from app.db.cache.memcached import MemcachedRing
    from app.sources.http import UpstreamHttp

log = structlog.get_logger()

LimiterFor = Callable[[str, float], RateLimiter]
"""Makes the rate limiter of a host from its name and the requests per second that it allows."""


@dataclass(frozen=True)
class Runtime:
    """What a process works with. Call `close` once, at the end: it closes everything."""

    settings: Settings
    clock: Clock
    series: SeriesStore
    averages: AverageStore
    warm: WarmAverages | None
    """The averages in the memory of this process; None where CACHE_URL is `none://`."""
    prices: PriceStore
    price_source: PriceSource | None
    """Where the API gets spot prices; None in a command, which opens the sources that it needs."""
    leases: Leases
    host_clocks: HostClocks
    events: EventBus
    limiter_for: LimiterFor
    """Makes rate limiters that all processes on this database share."""
    health: Health
    rate: RequestRate | None
    """How many requests of a client the API answers; None: any number, and in a command."""
    rate_collect: RequestRate | None
    """The same for those that collect a price."""
    resources: ExitStack

    @property
    def price_rules(self) -> PriceRules:
        """Which prices are judged, and how."""
        settings = self.settings
        return PriceRules(
            settings.price_currency, settings.anomaly_threshold, settings.price_stale_seconds
        )

    def close(self) -> None:
        """Deliver the events that are queued, then close sources, cache and database."""
        self.resources.close()


def for_api(settings: Settings, clock: Clock = time.time) -> Runtime:
    """Open what the API works with: a database in which no request waits for ever, and its replica.

    The price source makes one attempt and gives up soon, because a client waits. Raises StoreError
    where the database cannot be used, ConfigurationError where DB_URL cannot be a SQLite file's,
    where there is no way to CoinGecko (`price_network`), or where what only an API needs is
    missing.
    """
    _require_access(settings)
    network = price_network(settings)
    replica = settings.db_read_url
    database = open_for_api(
        settings.db_url.get_secret_value(),
        None if replica is None else replica.get_secret_value(),
        migrate=settings.env == "dev",
    )
    runtime = _wired(settings, clock, database, network)
    if settings.collects_without_key:
        log.info(
            "collect_without_key",
            reason="ENV is dev, only this machine can connect, and no key has the scope collect",
        )
    return runtime


def _require_access(settings: Settings) -> None:
    """Refuse to serve where nobody could ask, or strangers could collect."""
    prod = settings.env == "prod"
    if prod and not settings.allowed_hosts:
        raise ConfigurationError(
            "ALLOWED_HOSTS is empty and ENV is prod: write the names under which the API is "
            "published, such as ALLOWED_HOSTS=api.example.com"
        )
    if prod and settings.collect_access == "key" and not settings.has_key_to(COLLECT):
        raise ConfigurationError(
            "API_KEYS has no key with the scope collect and ENV is prod: make one with "
            f"{how_to_run('keys')} and write its entry into API_KEYS, or set COLLECT_ACCESS=off"
        )
    if settings.read_access == "key" and not settings.has_key_to(READ):
        raise ConfigurationError(
            "API_KEYS has no key with the scope read and READ_ACCESS is key: make one with "
            f"{how_to_run('keys')} and write its entry into API_KEYS, or set READ_ACCESS=open"
        )


def for_command(
    settings: Settings,
    clock: Clock = time.time,
    *,
    create: bool = True,
    busy_seconds: int = BUSY_SECONDS,
) -> Runtime:
    """Open what a command works with.

    In `dev` the database is created and migrated where needed, unless `create` is False; in `prod`
    it must exist. `busy_seconds` is how long a write waits for a locked SQLite file. Raises
    StoreError, and ConfigurationError where DB_URL cannot be a SQLite file's.
    """
    database = open_for_command(
        settings.db_url.get_secret_value(),
        create=create,
        migrate=create and settings.env == "dev",
        busy_seconds=busy_seconds,
    )
    return _wired(settings, clock, database, None)


def _wired(
    settings: Settings, clock: Clock, database: Database, to_prices: Network | None
) -> Runtime:
    resources = ExitStack()
    resources.callback(database.close)
    cache = _shared_cache(settings)
    if cache is not None:
        resources.callback(cache.close)
    warm = None
    if settings.cache_url.get_secret_value() != "none://":
        near = block_memory(settings.cache_ttl_seconds)
        warm = CachedAverageStore(database.series, near, cache)
    averages: AverageStore = warm or database.series

    limiter_for = partial(SharedRateLimiter, database.engine)

    clocks = SqlHostClocks(database.engine)
    source = None
    if to_prices is not None:
        within_budget = partial(
            SharedRateLimiter, database.engine, call_budget=call_budget(settings)
        )

        def open_source() -> AbstractContextManager[PriceSource]:
            return open_price_source(
                settings, within_budget, clock, clocks=clocks, network=to_prices
            )

        lazy = LazyPriceSource(open_source)
        resources.callback(lazy.close)
        source = WatchedSource(lazy, clock, forget_after=settings.price_stale_seconds)
    events = EventBus(_listeners(settings, clock, averages))
    resources.callback(events.close)
    rate = collect = None
    if to_prices is not None:
        rate = _request_rate("default", settings.rate_limit, clock)
        collect = _request_rate("collect", settings.rate_limit_collect, clock)
        limits = [each for each in (rate, collect) if each is not None]
        if cache is not None and limits:
            resources.callback(Merging(limits, cache).close)
    return Runtime(
        settings=settings,
        clock=clock,
        series=database.series,
        averages=averages,
        warm=warm,
        prices=database.prices,
        price_source=source,
        leases=SqlLeases(database.engine),
        host_clocks=clocks,
        events=events,
        limiter_for=limiter_for,
        health=Health(database.ping, cache, source),
        rate=rate,
        rate_collect=collect,
        resources=resources,
    )


def _request_rate(name: str, rate: Rate | Literal["off"], clock: Clock) -> LocalRequestRate | None:
    return None if rate == "off" else LocalRequestRate(name, rate, clock)


def _shared_cache(settings: Settings) -> MemcachedRing | None:
    """The cache that this process shares with others, if CACHE_URL names one."""
    cache_url = settings.cache_url.get_secret_value()
    if cache_url in ("none://", "memory://"):
        return None
    from app.db.cache.memcached import MemcachedRing  # noqa: PLC0415 - pymemcache, for this alone

    secret = settings.cache_secret
    return MemcachedRing(
        cache_nodes(cache_url),
        settings.cache_ttl_seconds,
        None if secret is None else secret.get_secret_value().encode(),
    )


def _listeners(settings: Settings, clock: Clock, averages: AverageStore) -> Listeners:
    """The listeners of each kind of event."""
    # A failed load is logged by its command at once: that line must not wait or be dropped.
    logged = (CandlesLoaded, AveragesCalculated, CandleRevised, CandlesRefused, GapDetected)
    heard: dict[type[Event], list[Listener]] = {kind: [listeners.log_line] for kind in logged}
    shared = settings.cache_url.get_secret_value().startswith("memcached://")
    if shared and isinstance(averages, CachedAverageStore):

        def read(series: Series, window: Window) -> AverageSlice:
            period = served_period(series.interval, settings.history_days, clock())
            averages.refresh(series)
            return averages.read(series, window, period.first, period.last)

        # Warm only a shared cache: what this process loads is served by other processes.
        heard[AveragesCalculated].append(listeners.cache_warming(read))
    episodes = listeners.AnomalyEpisodes()
    heard[AnomalyDetected] = [episodes.detected]
    heard[PriceCollected] = [episodes.collected]
    return heard


class LazyPriceSource:
    """A PriceSource that opens another one at its first request, once for all threads.

    Most API processes are never asked for a live price, and httpx takes time and memory.
    """

    def __init__(self, open_source: Callable[[], AbstractContextManager[PriceSource]]) -> None:
        self._open_source = open_source
        self._lock = threading.Lock()
        self._opened = ExitStack()
        self._source: PriceSource | None = None

    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        """See PriceSource.prices."""
        with self._lock:
            if self._source is None:
                self._source = self._opened.enter_context(self._open_source())
        return self._source.prices(coins, currency)

    def close(self) -> None:
        """Close the source, if it was opened."""
        self._opened.close()


@contextmanager
def open_price_source(
    settings: Settings,
    limiter_for: LimiterFor = LocalRateLimiter,
    clock: Clock = time.time,
    policy: RetryPolicy = coingecko.POLICY,
    clocks: HostClocks | None = None,
    network: Network | None = None,
) -> Iterator[PriceSource]:
    """CoinGecko at COINGECKO_API_BASE_URL; its connections are closed at the end.

    A failed call is not retried: it counts against the same budget as a good one. `network` is what
    `price_network` returned; without it, it is called here.
    """
    from app.sources.http import UpstreamHttp  # noqa: PLC0415 - httpx: see LazyPriceSource

    base_url = settings.coingecko_api_base_url.get_secret_value()
    limiter = limiter_for(host_of(base_url), settings.coingecko_requests_per_second * USED)
    key = settings.coingecko_api_key
    with UpstreamHttp(
        base_url,
        limiter,
        network=network,
        read_error=coingecko.read_error,
        policy=policy,
        bounds=coingecko.BOUNDS,
        secrets=coingecko.key_headers(base_url, key.get_secret_value() if key else None),
        clock=clock,
    ) as http:
        yield coingecko.CoinGecko(http, clock, clocks)


def call_budget(settings: Settings) -> CallBudget | None:
    """The calls of a month to CoinGecko; None where COINGECKO_MONTHLY_CALLS is off."""
    calls = settings.coingecko_monthly_calls
    return None if calls == "off" else CallBudget(calls, settings.price_poll_seconds)


def price_network(settings: Settings) -> Network:
    """The way to CoinGecko. Raises ConfigurationError where the environment gives none.

    Call it before anything is opened: a bad variable is then found before there is work to undo.
    """
    return network_to(settings.coingecko_api_base_url.get_secret_value())


def candle_network(settings: Settings) -> Network:
    """The way to the exchange that CANDLE_SOURCE names; as `price_network`."""
    return network_to(_candle_base_url(settings))


def _candle_base_url(settings: Settings) -> str:
    legacy_one = settings.candle_source == "mercado_bitcoin_legacy"
    base_url = settings.mb_legacy_api_base_url if legacy_one else settings.mb_api_base_url
    return base_url.get_secret_value()


@contextmanager
def open_candle_source(
    settings: Settings,
    limiter_for: LimiterFor,
    clock: Clock,
    clocks: HostClocks | None = None,
    network: Network | None = None,
) -> Iterator[CandleSource]:
    """The exchange that CANDLE_SOURCE names; its connections are closed at the end.

    `network` is what `candle_network` returned; without it, it is called here. Raises
    ConfigurationError where it does.
    """
    from app.sources.http import UpstreamHttp  # noqa: PLC0415 - likewise

    source_class: Callable[[UpstreamHttp, Clock, HostClocks | None], CandleSource]
    if settings.candle_source == "mercado_bitcoin_legacy":
        source_class, reader = legacy.MercadoBitcoinLegacy, legacy.read_error
    else:
        source_class, reader = official.MercadoBitcoin, official.read_error
    base_url = _candle_base_url(settings)
    limiter = limiter_for(host_of(base_url), settings.mb_requests_per_second * USED)
    policy = RetryPolicy(total=settings.upstream_retry_seconds)
    with UpstreamHttp(
        base_url, limiter, network=network, read_error=reader, policy=policy, clock=clock
    ) as http:
        yield source_class(http, clock, clocks)
