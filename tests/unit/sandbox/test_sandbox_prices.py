"""The stand-in's spot prices: CoinGecko's shape, the simulated and the recorded ones, the board."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationError
from app.core.prices import COIN_IDS, Coin
from app.sandbox.exchange import COINGECKO_PATH, Exchange
from app.sandbox.options import build_exchange, parser
from app.sandbox.price_books import SimulatedPrices
from app.sandbox.prices import PriceBook
from app.sandbox.simulation import Simulation

T = 1_700_006_400  # 2023-11-15 00:00 UTC
NOW = T + 36_030
PRICE = f"{COINGECKO_PATH}/simple/price"
ALL = ",".join(COIN_IDS.values())
TIMED = "include_last_updated_at=true"


class Clock:
    """A time that stands until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def exchange(prices: PriceBook | None = None, clock: Clock | None = None) -> Exchange:
    return Exchange(Simulation(1), clock=clock or Clock(), prices=prices)


def ask(market: Exchange, query: str, status: int = 200) -> Any:
    reply = market.answer(f"{PRICE}?{query}")
    assert (reply.status, reply.content_type) == (status, "application/json; charset=utf-8")
    return json.loads(reply.body, parse_float=Decimal, parse_int=Decimal)


def usd(market: Exchange, ids: str = "bitcoin") -> dict[str, Decimal]:
    """The prices by id."""
    reply = ask(market, f"ids={ids}&vs_currencies=usd&precision=full")
    return {coin_id: entry["usd"] for coin_id, entry in reply.items()}


# the wire


@pytest.mark.parametrize("path", [PRICE, f"{PRICE}/"])
def test_a_reply_is_an_object_of_coins_with_json_numbers(path: str) -> None:
    market = exchange()
    market.prices.set("bitcoin", "usd", Decimal("67187.3358936566"))
    market.prices.set("cardano", "usd", Decimal("0.00001234"), updated_at=T)
    market.prices.set("polkadot", "usd", Decimal(7))
    market.prices.set("shiba-inu", "usd", Decimal("1E-10"), updated_at=T)
    ids = "bitcoin,cardano,polkadot,shiba-inu"
    reply = market.answer(f"{path}?ids={ids}&vs_currencies=usd&precision=full&{TIMED}")
    assert reply.body == (
        b'{"bitcoin":{"usd":67187.3358936566,"last_updated_at":1700042430},'
        b'"cardano":{"usd":1.234e-05,"last_updated_at":1700006400},'
        b'"polkadot":{"usd":7,"last_updated_at":1700042430},'
        b'"shiba-inu":{"usd":1.0e-10,"last_updated_at":1700006400}}'
    )


def test_what_nobody_asked_for_and_what_is_unknown_is_left_out() -> None:
    assert ask(exchange(), "ids=nope&vs_currencies=usd") == {}
    assert ask(exchange(), "ids=bitcoin&vs_currencies=xyz") == {"bitcoin": {}}
    both = ask(exchange(), "ids=%20bitcoin,bitcoin,nope&vs_currencies=USD,brl")
    assert {coin_id: list(entry) for coin_id, entry in both.items()} == {"bitcoin": ["usd", "brl"]}


@pytest.mark.parametrize(
    ("query", "missing"), [("ids=&vs_currencies=usd", "ids"), ("ids=bitcoin", "vs_currencies")]
)
def test_a_wrong_request_gets_an_error_body(query: str, missing: str) -> None:
    assert ask(exchange(), query, 422) == {"error": f"Missing parameter {missing}"}


# the simulation


def test_the_usual_coins_have_plausible_prices_that_a_reader_must_round() -> None:
    prices = usd(exchange(), ALL)
    assert 20_000 < prices["bitcoin"] < 500_000
    assert Decimal("0.1") < prices["cardano"] < 4
    assert len(prices) == len(COIN_IDS)
    assert any(-int(price.as_tuple().exponent) > 8 for price in prices.values())


def test_prices_depend_on_seed_and_minute_alone() -> None:
    clock = Clock()
    market = exchange(clock=clock)
    seen = []
    for minute in range(10):
        clock.now = NOW + 60 * minute
        seen.append(usd(market, ALL))
        clock.now += 29
        assert usd(exchange(clock=Clock(clock.now)), ALL) == seen[-1]
    assert len({prices["bitcoin"] for prices in seen}) > 8
    assert usd(exchange(SimulatedPrices(2)), ALL) != seen[0]


def test_the_price_in_brl_is_what_the_running_candle_ends_with() -> None:
    market = exchange()
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution=1d&to={NOW}&countback=1"
    close = json.loads(market.answer(target).body)["c"][0]
    reply = ask(market, "ids=bitcoin&vs_currencies=brl,usd&precision=full")
    assert reply["bitcoin"]["brl"] == Decimal(close)
    assert reply["bitcoin"]["usd"] == pytest.approx(Decimal(close) / Decimal("5.5"))


def test_other_coins_can_be_simulated() -> None:
    market = exchange(SimulatedPrices(1, [Coin("XRP", "ripple")]))
    assert set(usd(market, "ripple,bitcoin")) == {"ripple"}


# the board


def test_a_set_price_is_sent_to_the_last_digit_and_others_stay() -> None:
    market = exchange()
    before = usd(market, "bitcoin,ethereum")
    market.prices.set("bitcoin", "usd", Decimal("100000.000000000001"))
    assert usd(market, "bitcoin,ethereum") == {**before, "bitcoin": Decimal("100000.000000000001")}


def test_none_is_null_and_a_coin_can_be_left_out_or_added() -> None:
    market = exchange()
    market.prices.set("bitcoin", "usd", None)
    market.prices.leave_out("ethereum")
    market.prices.set("ripple", "usd", Decimal("0.5"))
    reply = ask(market, "ids=bitcoin,ethereum,ripple&vs_currencies=usd,brl")
    assert reply["bitcoin"]["usd"] is None
    assert reply["bitcoin"]["brl"] > 0
    assert reply["ripple"] == {"usd": Decimal("0.5")}
    assert "ethereum" not in reply
    market.prices.set("ethereum", "usd", Decimal(1))
    assert usd(market, "ethereum") == {"ethereum": 1}


def test_a_failure_is_sent_so_many_times_as_it_is_and_to_prices_alone() -> None:
    market = exchange()
    market.prices.fail(200, '{"status":{"error_code":429}}', {"Retry-After": "7"}, times=2)
    market.prices.fail(403, "<html>", {"content-type": "text/html"})
    assert market.answer("/api/v4/symbols").status == 200
    replies = [market.answer(f"{PRICE}?ids=bitcoin&vs_currencies=usd") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 403, 200]
    assert replies[0] == replies[1]
    assert replies[0].body == b'{"status":{"error_code":429}}'
    assert replies[0].headers == (("retry-after", "7"),)
    assert (replies[2].body, replies[2].content_type) == (b"<html>", "text/html")
    assert b"bitcoin" in replies[3].body


# recorded replies


def built(*argv: str) -> Exchange:
    return build_exchange(parser().parse_args(argv), Clock())


def replayed(folder: Path, *lines: str) -> Exchange:
    path = folder / "replies.jsonl"
    path.write_text("\n".join(lines))
    return built("--prices", str(path))


def test_recorded_replies_are_sent_in_turn_and_the_last_one_for_ever(tmp_path: Path) -> None:
    market = replayed(
        tmp_path,
        '{"bitcoin":{"usd":1.000000000000000001,"last_updated_at":1711356300},"ethereum":{}}',
        "",
        '{"bitcoin":{"usd":null,"brl":7,"last_updated_at":null}}',
        '{"bitcoin":{"usd":3}}',
    )
    query = f"ids=bitcoin,ethereum&vs_currencies=usd&{TIMED}"
    assert ask(market, query) == {
        "bitcoin": {"usd": Decimal("1.000000000000000001"), "last_updated_at": 1711356300},
        "ethereum": {"last_updated_at": NOW},
    }
    assert ask(market, query) == {"bitcoin": {"usd": None, "last_updated_at": None}}
    for _ in range(3):
        assert ask(market, query) == {"bitcoin": {"usd": 3, "last_updated_at": NOW}}


def interaction(body: str, path: str = "simple/price/?ids=x", status: int = 200) -> str:
    """One recorded request and its reply, as a line."""
    url = f"https://api.coingecko.com/api/v3/{path}"
    return json.dumps({"method": "GET", "url": url, "status": status, "body": body})


def test_recorded_interactions_are_each_coin_s_prices_in_turn(tmp_path: Path) -> None:
    market = replayed(
        tmp_path,
        interaction('{"bitcoin":{"usd":1.000000000000000001}}'),
        interaction('{"ethereum":{"usd":2}}'),
        interaction('{"id":"bitcoin"}', "coins/bitcoin"),
        interaction('{"bitcoin":{"brl":5}}', "simple/price?ids=bitcoin&vs_currencies=brl"),
        interaction('{"status":{"error_code":429}}', status=429),
        interaction('{"bitcoin":{"usd":3}}'),
    )
    query = "ids=bitcoin,ethereum,cardano&vs_currencies=usd,brl"
    first = ask(market, query)
    assert first == {
        "bitcoin": {"usd": Decimal("1.000000000000000001"), "brl": 5},
        "ethereum": {"usd": 2},
    }
    for _ in range(2):
        assert ask(market, query) == {"bitcoin": {"usd": 3, "brl": 5}, "ethereum": {"usd": 2}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "holds no reply"),
        (interaction("{}", "coins/bitcoin"), "holds no reply of /simple/price"),
        ("[" * 100_000, "line 1: is not valid JSON"),
        ("[]", "line 1: is no JSON object"),
        ('{}\n{"bitcoin":1}', "line 2: 'bitcoin' must be an object of numbers"),
        ('{"bitcoin":{"usd":"1"}}', "line 1: 'bitcoin' must be an object of numbers"),
        ('{"bitcoin":{"usd":NaN}}', "line 1: 'bitcoin' must be an object of numbers"),
        (interaction("Throttled"), "line 1: is not valid JSON"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(
    tmp_path: Path, line: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"replies\.jsonl: {problem}"):
        replayed(tmp_path, line)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("absent", "binary"):
        with pytest.raises(ConfigurationError, match=f"{name}: cannot be read"):
            built("--prices", str(tmp_path / name))


def test_the_seed_and_the_clock_of_the_command_line_reach_the_prices() -> None:
    assert usd(built("--now", str(T)), ALL) == usd(exchange(clock=Clock(T)), ALL)
    assert usd(built("--seed", "2"), ALL) == usd(exchange(SimulatedPrices(2)), ALL)
