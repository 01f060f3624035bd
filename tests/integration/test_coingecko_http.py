"""The CoinGecko source over real HTTP, against the stand-in: every good and bad answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal

import pytest

from app.core.errors import (
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.market import DAY
from app.core.prices import COIN_IDS, Coin
from app.sandbox.exchange import COINGECKO_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.sources.coingecko import POLICY, CoinGecko, key_headers
from app.sources.coingecko_errors import read_error
from app.sources.gate import HostGate
from app.sources.http import UpstreamHttp
from app.utils.fixed_point import exact, rounded, text

COINS = tuple(Coin.parse(symbol) for symbol in COIN_IDS)
BTC, ETH = COINS[:2]
KEY = "CG-aBcDeFgHiJkLmNoPqRsTuVwX"
NOW = 1_700_042_430
HTML = {"Content-Type": "text/html"}
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(Simulation(1), clock=lambda: NOW)


@contextmanager
def source(url: str, rate: float = 10_000.0, path: str = COINGECKO_PATH) -> Iterator[CoinGecko]:
    """The source as it is wired up, in front of the stand-in."""
    base_url = url + path
    with UpstreamHttp(
        base_url,
        HostGate("127.0.0.1", rate),
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


def price(coingecko: CoinGecko, coin: Coin = BTC) -> str:
    """What one coin costs, as text."""
    (found,) = coingecko.prices([coin], "usd").prices
    return text(found.price)


@pytest.mark.parametrize("currency", ["usd", "brl", "eur"])
def test_all_coins_come_with_one_request_and_their_own_times(
    exchange: Exchange, coingecko: CoinGecko, currency: str
) -> None:
    reply = coingecko.prices(COINS, currency)
    assert [found.coin for found in reply.prices] == list(COINS)
    assert reply.refused == ()
    assert all(NOW - 300 < found.priced_at <= NOW for found in reply.prices)
    (asked,) = exchange.requests
    assert asked.path == "/api/v3/simple/price"
    quotes = exchange.prices.quotes(COIN_IDS.values(), NOW)
    for found in reply.prices:
        sent = quotes[found.coin.id].prices[currency]
        assert sent is not None
        assert found.price == rounded(str(sent))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("67187.3358936566", "67187.33589366"),
        ("0.0000123456789", "0.00001235"),
        ("0.000000005000000000000001", "0.00000001"),
        ("63600", "63600.0"),
        ("1.000000015", "1.00000002"),
    ],
)
def test_a_price_that_was_set_is_read_rounded_once(
    exchange: Exchange, coingecko: CoinGecko, sent: str, read: str
) -> None:
    exchange.prices.set("bitcoin", "usd", Decimal(sent))
    assert price(coingecko) == read


@pytest.mark.parametrize("change", ["1.06", "0.94", "1.049", "1.05", "1.050000000001"])
def test_a_jump_can_be_forced_to_the_last_digit(
    exchange: Exchange, coingecko: CoinGecko, change: str
) -> None:
    exchange.prices.set("bitcoin", "usd", Decimal(60_000))
    before = exact(price(coingecko))
    exchange.prices.set("bitcoin", "usd", 60_000 * Decimal(change))
    assert Decimal(exact(price(coingecko))) / before == Decimal(change)


def test_a_coin_without_a_usable_price_is_refused_and_the_others_are_not(
    exchange: Exchange, coingecko: CoinGecko
) -> None:
    exchange.prices.set("bitcoin", "usd", None)
    exchange.prices.leave_out("ethereum")
    exchange.prices.set("solana", "usd", Decimal(100), updated_at=NOW + 3_600)
    exchange.prices.set("cardano", "usd", Decimal("-0.5"))
    exchange.prices.set("polkadot", "usd", Decimal(5), updated_at=NOW - DAY)
    reply = coingecko.prices(COINS, "usd")
    assert [(found.coin.symbol, found.priced_at) for found in reply.prices] == [("DOT", NOW - DAY)]
    reasons = {refused.coin.symbol: refused.reason for refused in reply.refused}
    for symbol, because in (
        ("BTC", "null"),
        ("ETH", "leaves out the id 'ethereum'"),
        ("SOL", "3600 s after"),
        ("ADA", "above 0"),
    ):
        assert because in reasons[symbol]


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (429, '{"status":{"error_code":429,"error_message":"slow"}}', {}, UpstreamUnavailable),
        (200, '{"status":{"error_code":429,"error_message":"slow"}}', {}, UpstreamUnavailable),
        (429, "Throttled", TEXT, UpstreamUnavailable),
        (200, "Throttled", TEXT, UpstreamUnavailable),
        (503, "<html>", HTML, UpstreamUnavailable),
        (520, "", {}, UpstreamUnavailable),
        (200, "<html>", HTML, UpstreamBlocked),
        (403, "<html>", HTML, UpstreamBlocked),
        (400, '{"status":{"error_code":10010}}', {}, UpstreamRejected),
        (401, '{"error_code":10011,"status":{"error_message":"x"}}', {}, UpstreamRejected),
        (200, '{"error":"coin not found"}', {}, UpstreamRejected),
        (200, "OK", TEXT, UpstreamNonsense),
        (200, "[]", {}, UpstreamNonsense),
        (200, '{"bitcoin":{"usd":1', {}, UpstreamNonsense),
        (301, "", {"Location": "http://127.0.0.1:1/"}, UpstreamNonsense),
    ],
)
def test_a_bad_answer_is_one_error_one_request_and_over_with_the_next_question(
    exchange: Exchange,
    coingecko: CoinGecko,
    status: int,
    body: str,
    headers: dict[str, str],
    kind: type[UpstreamError],
) -> None:
    exchange.prices.fail(status, body, headers)
    with pytest.raises(UpstreamError) as caught:
        coingecko.prices(COINS, "usd")
    assert type(caught.value) is kind
    assert status == 200 or str(status) in str(caught.value)
    assert len(exchange.requests) == 1
    assert len(coingecko.prices(COINS, "usd").prices) == len(COINS)


def test_retry_after_keeps_every_thread_away_from_the_host(
    exchange: Exchange, coingecko: CoinGecko
) -> None:
    exchange.prices.fail(200, '{"status":{"error_code":429}}', {"Retry-After": "120"})

    def wait_named(_: int) -> float:
        with pytest.raises(UpstreamUnavailable) as caught:
            coingecko.prices([BTC], "usd")
        return caught.value.retry_after or 0.0

    first = wait_named(0)
    with ThreadPoolExecutor(8) as pool:
        others = list(pool.map(wait_named, range(16)))
    assert first == 120
    assert all(110 < wait <= 120 for wait in others)
    assert len(exchange.requests) == 1


def test_a_wrong_base_url_is_refused_and_says_so(exchange: Exchange) -> None:
    with serve(exchange) as url:
        with source(url, path="/api/v4") as made, pytest.raises(UpstreamRejected, match="404"):
            made.prices([BTC], "usd")
        with (
            source(url, path="/api/v3/coins") as made,
            pytest.raises(UpstreamRejected, match="Incorrect path"),
        ):
            made.prices([BTC], "usd")


def test_a_host_that_is_gone_is_unavailable_at_once() -> None:
    with serve(Exchange(Simulation(1), clock=lambda: NOW)) as url:
        pass
    started = time.monotonic()
    with source(url) as made, pytest.raises(UpstreamUnavailable):
        made.prices([BTC], "usd")
    assert time.monotonic() - started < 5.0


def test_the_key_stands_in_no_url_and_no_log_of_any_level(
    exchange: Exchange, coingecko: CoinGecko, caplog: pytest.LogCaptureFixture
) -> None:
    # By name as well: where the log was configured before, these two are kept to warnings.
    for name in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)
    exchange.prices.fail(401, f'{{"error":"{KEY} is unknown"}}')
    with pytest.raises(UpstreamRejected) as caught:
        coingecko.prices([BTC], "usd")
    coingecko.prices([BTC], "usd")
    assert caplog.records != []
    assert KEY not in caplog.text
    assert KEY not in str(caught.value)
    assert KEY not in str(exchange.requests)


def test_threads_share_one_source(exchange: Exchange, coingecko: CoinGecko) -> None:
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: coingecko.prices(COINS, "usd"), range(40)))
    assert len(set(replies)) == 1
    assert len(exchange.requests) == 40
