"""CoinGecko's source in front of a faked host."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from app.core.ports import RateLimiter
from app.core.prices import Coin, PriceReply
from app.sources.coingecko import POLICY, CoinGecko, key_headers, read_error
from app.sources.http import UpstreamHttp
from tests.unit.sources.upstream_fakes import NOW, Answer, FakeHost, FakeTime, OpenLimiter, answer

BASE_URL = "https://api.coingecko.com/api/v3"
PRO_URL = "https://pro-api.coingecko.com/api/v3"
BTC, ETH, ADA = Coin("BTC", "bitcoin"), Coin("ETH", "ethereum"), Coin("ADA", "cardano")


def coingecko(
    host: Callable[[httpx.Request], httpx.Response],
    *,
    base_url: str = BASE_URL,
    api_key: str | None = None,
    limiter: RateLimiter | None = None,
    time: FakeTime | None = None,
    clock: float = NOW,
) -> CoinGecko:
    """The source as it is wired up, with everything around it faked."""
    fake = time or FakeTime()
    http = UpstreamHttp(
        base_url,
        limiter or OpenLimiter(),
        secrets=key_headers(base_url, api_key),
        read_error=read_error,
        policy=POLICY,
        clock=lambda: clock,
        monotonic=fake.monotonic,
        sleep=fake.sleep,
        random=lambda: 0.5,
        transport=httpx.MockTransport(host),
    )
    return CoinGecko(http, lambda: clock)


def ask(reply: Answer, *coins: Coin, currency: str = "usd") -> PriceReply:
    """One reply, read as the answer about the coins (bitcoin alone without any)."""
    return coingecko(FakeHost([reply])).prices(coins or (BTC,), currency)


def table(text: str) -> Answer:
    """A reply with this JSON."""
    return answer(body=text.encode())
