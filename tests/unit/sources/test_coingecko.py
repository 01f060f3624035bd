"""CoinGecko's prices: what is asked, how a number is read, and which coin is refused for what."""

from __future__ import annotations

import json
import traceback

import httpx
import pytest
from structlog.testing import capture_logs

from app.core.errors import (
    UpstreamError,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from app.core.prices import Coin, PriceReply, SpotPrice
from app.domain.fixed_point import text
from tests.unit.sources.coingecko_fakes import (
    ADA,
    BASE_URL,
    BTC,
    ETH,
    PRO_URL,
    ask,
    coingecko,
    table,
)
from tests.unit.sources.upstream_fakes import NOW, Answer, FakeHost, FakeTime, answer

KEY = "CG-aBcDeFgHiJkLmNoPqRsTuVwX"
GOOD = {"bitcoin": {"usd": 67187, "last_updated_at": NOW - 30}}


def priced(number: str) -> PriceReply:
    """The answer about a bitcoin that costs the JSON number."""
    return ask(table(f'{{"bitcoin":{{"usd":{number},"last_updated_at":{NOW}}}}}'))


# the request


def test_all_coins_are_asked_for_in_one_request() -> None:
    host = FakeHost(
        [
            answer(
                {
                    "ethereum": {"usd": 3, "last_updated_at": NOW - 60},
                    "bitcoin": {"usd": 2, "last_updated_at": NOW},
                    "cardano": {"usd": 1, "last_updated_at": NOW - 1},
                }
            )
        ]
    )
    reply = coingecko(host).prices([BTC, ADA, ETH], "usd")
    assert reply == PriceReply(
        (
            SpotPrice(BTC, 2 * 10**8, "usd", NOW),
            SpotPrice(ADA, 10**8, "usd", NOW - 1),
            SpotPrice(ETH, 3 * 10**8, "usd", NOW - 60),
        ),
        (),
        NOW,
    )
    (request,) = host.requests
    assert request.url.path == "/api/v3/simple/price"
    assert dict(request.url.params) == {
        "ids": "bitcoin,cardano,ethereum",
        "vs_currencies": "usd",
        "include_last_updated_at": "true",
        "precision": "full",
    }


# numbers


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("67187.3358936566", "67187.3358936566"),
        ("3.1e-05", "0.000031"),
        ("1.25E+2", "125.0"),
        ("1.4e-08", "0.000000014"),
        ("1e-20", "0.00000000000000000001"),
        ("1234567890123456.7", "1234567890123456.7"),
        ("1e15", "1000000000000000.0"),
    ],
)
def test_a_number_is_kept_as_it_came(number: str, kept: str) -> None:
    (price,) = priced(number).prices
    assert text(price.price) == kept


# refusals of one coin

TIMED = f'"last_updated_at":{NOW}'


@pytest.mark.parametrize(
    ("entry", "because"),
    [
        ("[]", "the entry under 'bitcoin' is a list, not an object"),
        (f'{{"usd":"67187.33",{TIMED}}}', "not a JSON number"),
        (f'{{"usd":true,{TIMED}}}', "not a JSON number"),
        (f'{{"usd":0.0,{TIMED}}}', "the price 0.0 is not above 0"),
        (f'{{"usd":-1e-20,{TIMED}}}', "the price -1e-20 is not above 0"),
        (f'{{"usd":"NaN",{TIMED}}}', "not a JSON number"),
        (f'{{"usd":1e40,{TIMED}}}', "1e40 has more than 40 digits before or after the point"),
        (f'{{"usd":1e-41,{TIMED}}}', "1e-41 has more than 40 digits before or after the point"),
        (f'{{"usd":NaN,{TIMED}}}', "'NaN' is not a decimal number"),
        (f'{{"usd":{"9" * 5_000},{TIMED}}}', "is not a decimal number"),
        ('{"usd":1,"last_updated_at":Infinity}', "last_updated_at is Infinity, not a time"),
        ('{"usd":1}', "last_updated_at is null"),
        ('{"usd":1,"last_updated_at":1711829417000}', "is 1711829417000, not a time in unix sec"),
        (f'{{"usd":1,"last_updated_at":{NOW + 121}}}', "121 s after that host's own clock; 120 s"),
    ],
)
def test_a_coin_is_refused_for_a_stated_reason_and_leaves_the_others_alone(
    entry: str | None, because: str
) -> None:
    first = "" if entry is None else f'"bitcoin":{entry},'
    reply = ask(table(f'{{{first}"ethereum":{{"usd":3131.5,{TIMED}}}}}'), BTC, ETH)
    assert [(price.coin, price.price) for price in reply.prices] == [(ETH, 313_150_000_000)]
    (refused,) = reply.refused
    assert refused.coin == BTC
    assert refused.reason.startswith("api.coingecko.com has no usable price of BTC in usd: ")
    assert because in refused.reason
    assert refused.reason.endswith(".")
    assert len(refused.reason) < 300


GONE = [None, "null", "{}", '{"usd":null}', f'{{"usd":null,{TIMED}}}', f"{{{TIMED}}}"]


@pytest.mark.parametrize("entry", GONE)
def test_an_id_without_a_price_beside_one_with_a_price_was_probably_renamed_or_retired(
    entry: str | None,
) -> None:
    first = "" if entry is None else f'"matic-network":{entry},'
    reply = ask(
        table(f'{{{first}"bitcoin":{{"usd":1,{TIMED}}}}}'), Coin.parse("MATIC:matic-network"), BTC
    )
    (refused,) = reply.refused
    assert refused.reason == (
        "api.coingecko.com has no usable price of MATIC in usd: CoinGecko has none (any more) under "
        "the id 'matic-network', which was probably renamed or retired, or is misspelt: look the new "
        "id up in CoinGecko's coins/list, and write MATIC:new-id in ALLOWED_SYMBOLS."
    )


@pytest.mark.parametrize("entry", GONE)
def test_without_any_price_both_the_id_and_the_currency_may_be_the_cause(entry: str | None) -> None:
    alone = "" if entry is None else f'"bitcoin":{entry}'
    (refused,) = ask(table(f"{{{alone}}}")).refused
    assert "check PRICE_CURRENCY" in refused.reason.replace("Check", "check")
    assert "renamed or retired" in refused.reason
    assert "write BTC:new-id in ALLOWED_SYMBOLS" in refused.reason


def test_a_currency_that_no_coin_has_a_price_in_is_recognised() -> None:
    reply = ask(
        table(f'{{"bitcoin":{{{TIMED}}},"ethereum":{{{TIMED}}}}}'), BTC, ETH, currency="xyz"
    )
    for refused in reply.refused:
        assert "no coin in the reply has a price in 'xyz'. Check PRICE_CURRENCY; " in refused.reason


@pytest.mark.parametrize(
    ("ours", "at", "logged"),
    [
        (NOW, NOW, []),
        (NOW - 120, NOW - 120, []),
        (NOW + 10_800, NOW, ["host_clock_skew"]),
        (NOW - 31_536_000, NOW, ["host_clock_skew"]),
    ],
)
def test_a_reply_is_dated_by_our_clock_or_by_the_host_s_where_ours_is_off(
    ours: int, at: int, logged: list[str]
) -> None:
    with capture_logs() as logs:
        source = coingecko(FakeHost([answer(GOOD), answer(GOOD)]), clock=ours)
        assert [source.prices([BTC], "usd").received_at for _ in range(2)] == [at, at]
    assert [line["event"] for line in logs] == logged


@pytest.mark.parametrize(("ours", "warnings"), [(NOW, 0), (NOW - 9_000, 1), (NOW + 9_000, 1)])
def test_the_host_s_clock_decides_what_lies_in_the_future_and_a_wrong_one_is_logged(
    ours: int, warnings: int
) -> None:
    with capture_logs() as logs:
        source = coingecko(FakeHost([answer(GOOD)]), clock=ours)
        assert len(source.prices([BTC], "usd").prices) == 1
    assert [line["event"] for line in logs].count("host_clock_skew") == warnings


@pytest.mark.parametrize(
    "data",
    [
        [GOOD],
        None,
        {"id": "bitcoin", "symbol": "btc", "market_data": {}},
        {"t": [1], "c": ["2"]},
    ],
)
def test_a_reply_that_is_no_table_of_prices_is_nonsense(data: object) -> None:
    with pytest.raises(UpstreamNonsense) as caught:
        ask(answer(data))
    assert caught.value.host == "api.coingecko.com"
    assert "COINGECKO_API_BASE_URL" in str(caught.value)


# budget


@pytest.mark.parametrize("reply", [answer(status=503), answer(status=429), httpx.ReadError("cut")])
def test_a_failed_call_is_not_repeated_because_it_counts_against_the_budget(
    reply: Answer | Exception,
) -> None:
    host = FakeHost([reply])
    time = FakeTime()
    with pytest.raises(UpstreamUnavailable):
        coingecko(host, time=time).prices([BTC], "usd")
    assert len(host.requests) == 1
    assert time.slept == []


# keys


@pytest.mark.parametrize(
    ("base_url", "header"),
    [
        (BASE_URL, "x-cg-demo-api-key"),
        (PRO_URL, "x-cg-pro-api-key"),
        ("https://pro-api.coingecko.com.example/api/v3", "x-cg-demo-api-key"),
    ],
)
def test_the_key_travels_in_the_header_that_its_host_reads_and_nowhere_else(
    base_url: str, header: str
) -> None:
    host = FakeHost([answer(GOOD)])
    coingecko(host, base_url=base_url, api_key=KEY).prices([BTC], "usd")
    (request,) = host.requests
    sent = {name: value for name, value in request.headers.items() if name.startswith("x-cg-")}
    assert sent == {header: KEY}
    assert KEY not in str(request.url)


@pytest.mark.parametrize(
    "reply",
    [
        answer({"status": {"error_code": 10002, "error_message": f"{KEY} is no key"}}, 401),
        answer(body=f"no such key: {'x' * 170} {KEY}".encode(), status=400),
        answer(body=f"hello {KEY}".encode()),
        answer(body=f'{{"{KEY}":1,"{KEY}":2}}'.encode()),
        answer(body=f"<html>{KEY}</html>".encode(), status=403),
    ],
)
def test_a_host_that_repeats_the_key_does_not_bring_it_into_an_error_or_a_log(
    reply: Answer,
) -> None:
    source = coingecko(FakeHost([reply]), api_key=KEY)
    with capture_logs() as logs, pytest.raises(UpstreamError) as caught:
        source.prices([BTC], "usd")
    shown = "".join(traceback.format_exception(caught.value)) + json.dumps(logs)
    assert KEY[:8] not in shown


def test_a_price_is_read_though_it_stands_beside_something_like_the_key() -> None:
    body = f'{{"bitcoin":{{"usd":12345678.5,{TIMED}}},"note":"12345678"}}'
    source = coingecko(FakeHost([table(body)]), api_key="12345678")
    assert [p.price for p in source.prices([BTC], "usd").prices] == [1_234_567_850_000_000]
