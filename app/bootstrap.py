"""The one place that names concrete classes: settings become engine, stores and sources.

The API and every command call this and nothing else to get what they work with. NumPy is not
imported from here: the API does without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from app.core.ports import AverageStore, CandleSource, Clock, SeriesStore
from app.core.settings import Settings
from app.db import schema, session
from app.db.series import SqlSeriesStore
from app.sources import mercado_bitcoin as official
from app.sources import mercado_bitcoin_legacy as legacy
from app.sources.gate import HostGate
from app.sources.http import UpstreamHttp
from app.sources.retry import RetryPolicy


@dataclass(frozen=True)
class Runtime:
    """What a process works with. `close` gives everything back; call it once, at the end."""

    settings: Settings
    clock: Clock
    series: SeriesStore
    averages: AverageStore
    ping: Callable[[], None]
    """Asks the database the smallest question. Raises StoreError."""
    close: Callable[[], None]


def build(settings: Settings, clock: Clock = time.time) -> Runtime:
    """Open the database and wire everything up.

    In `dev` the database is migrated; in `prod` it must be already. Raises StoreError where it
    cannot be used, ConfigurationError where DB_URL cannot be read.
    """
    engine = session.open_engine(settings.db_url)
    try:
        if settings.env == "dev":
            schema.migrate(engine)
        schema.require(engine)
    except BaseException:
        engine.dispose()
        raise
    store = SqlSeriesStore(engine)
    return Runtime(
        settings=settings,
        clock=clock,
        series=store,
        averages=store,
        ping=lambda: session.ping(engine),
        close=engine.dispose,
    )


@contextmanager
def open_candle_source(settings: Settings, clock: Clock = time.time) -> Iterator[CandleSource]:
    """The exchange that CANDLE_SOURCE names; its connections are given back at the end.

    Raises ConfigurationError where its base URL cannot be used.
    """
    made: Callable[[UpstreamHttp, Clock], CandleSource]
    if settings.candle_source == "mercado_bitcoin_legacy":
        base_url, reader, made = (
            settings.mb_legacy_api_base_url,
            legacy.read_error,
            legacy.MercadoBitcoinLegacy,
        )
    else:
        base_url, reader, made = (
            settings.mb_api_base_url,
            official.read_error,
            official.MercadoBitcoin,
        )
    gate = HostGate(urlsplit(base_url).hostname or "", settings.mb_requests_per_second)
    policy = RetryPolicy(total=settings.upstream_retry_seconds)
    with UpstreamHttp(base_url, gate, read_error=reader, policy=policy, clock=clock) as http:
        yield made(http, clock)
