"""The CoinGecko source over real HTTP, against the stand-in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from app.core.errors import UpstreamRejected, UpstreamUnavailable
from app.core.prices import COIN_IDS, Coin
from app.sandbox.exchange import COINGECKO_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.sources.coingecko import POLICY, CoinGecko, key_headers, read_error
from app.sources.http import UpstreamHttp
from app.sources.local_rate_limiter import LocalRateLimiter

COINS = tuple(Coin.parse(symbol) for symbol in COIN_IDS)
BTC = COINS[0]
KEY = "CG-aBcDeFgHiJkLmNoPqRsTuVwX"
NOW = 1_700_042_430


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(Simulation(1), clock=lambda: NOW)


@contextmanager
def source(url: str, rate: float = 10_000.0, path: str = COINGECKO_PATH) -> Iterator[CoinGecko]:
    """The source as it is wired up, in front of the stand-in."""
    base_url = url + path
    with UpstreamHttp(
        base_url,
        LocalRateLimiter("127.0.0.1", rate),
        secrets=key_headers(base_url, KEY),
        read_error=read_error,
        policy=POLICY,
        clock=lambda: NOW,
    ) as http:
        yield CoinGecko(http, lambda: NOW)


@pytest.fixture
def coingecko(exchange: Exchange) -> Iterator[CoinGecko]:
    with serve(exchange) as url, source(url) as made:
        yield made


def test_retry_after_keeps_every_thread_away_from_the_host(
    exchange: Exchange, coingecko: CoinGecko
) -> None:
    exchange.faults.add('status=200,body={"status":{"error_code":429}},retry-after=120,times=1')

    def wait_named(_: int) -> float:
        with pytest.raises(UpstreamUnavailable) as caught:
            coingecko.prices([BTC], "usd")
        return caught.value.retry_after or 0.0

    first = wait_named(0)
    with ThreadPoolExecutor(8) as pool:
        others = list(pool.map(wait_named, range(16)))
    assert first == 120
    assert all(0 < wait <= 120 for wait in others)
    assert len(exchange.requests) == 1


def test_the_key_stands_in_no_url_and_no_log_of_any_level(
    exchange: Exchange, coingecko: CoinGecko, caplog: pytest.LogCaptureFixture
) -> None:
    # By name as well: where the log was configured before, these two are kept to warnings.
    for name in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)
    exchange.faults.add(f'status=401,body={{"error":"{KEY} is unknown"}},times=1')
    with pytest.raises(UpstreamRejected) as caught:
        coingecko.prices([BTC], "usd")
    coingecko.prices([BTC], "usd")
    assert caplog.records != []
    assert KEY not in caplog.text
    assert KEY not in str(caught.value)
    assert KEY not in str(exchange.requests)
