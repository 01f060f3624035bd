"""The stand-in's spot prices: CoinGecko's shape, the simulated and the recorded ones."""

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
from app.sandbox.prices import SimulatedPrices, SpikedPrices
from app.sandbox.simulation import Simulation

T = 1_700_006_400  # 2023-11-15 00:00 UTC
NOW = T + 36_030
PRICE = f"{COINGECKO_PATH}/simple/price"
ALL = ",".join(COIN_IDS.values())
JSON = "application/json; charset=utf-8"


def exchange(now: float = NOW) -> Exchange:
    return Exchange(Simulation(1), clock=lambda: now)


def ask(market: Exchange, query: str, status: int = 200) -> Any:
    reply = market.answer(f"{PRICE}?{query}")
    assert (reply.status, reply.content_type) == (status, JSON)
    return json.loads(reply.body, parse_float=Decimal, parse_int=Decimal)


def usd(market: Exchange, ids: str = ALL) -> dict[str, Decimal]:
    """The prices by id."""
    reply = ask(market, f"ids={ids}&vs_currencies=usd&precision=full")
    return {coin_id: entry["usd"] for coin_id, entry in reply.items()}


def replayed(folder: Path, *lines: str) -> Exchange:
    """An exchange that sends the prices of a file of these lines."""
    path = folder / "replies.jsonl"
    path.write_text("\n".join(lines))
    return build_exchange(parser().parse_args(["--prices", str(path)]), lambda: NOW)


def interaction(body: str, path: str = "simple/price/?ids=x", status: int = 200) -> str:
    """One recorded request and its reply, as a line."""
    url = f"https://api.coingecko.com/api/v3/{path}"
    return json.dumps({"method": "GET", "url": url, "status": status, "body": body})


def test_what_nobody_asked_for_and_what_is_unknown_is_left_out_and_nothing_asked_for_is_an_error() -> (
    None
):
    assert ask(exchange(), "ids=nope&vs_currencies=usd") == {}
    assert ask(exchange(), "ids=bitcoin&vs_currencies=xyz") == {"bitcoin": {}}
    both = ask(exchange(), "ids=%20bitcoin,bitcoin,nope&vs_currencies=USD,brl")
    assert {coin_id: list(entry) for coin_id, entry in both.items()} == {"bitcoin": ["usd", "brl"]}
    assert ask(exchange(), "ids=&vs_currencies=usd", 422) == {"error": "Missing parameter ids"}


def test_prices_depend_on_seed_and_minute_alone() -> None:
    seen = [usd(exchange(NOW + 60 * minute)) for minute in range(10)]
    assert usd(exchange(NOW + 29)) == seen[0]
    assert len({prices["bitcoin"] for prices in seen}) > 8
    other = build_exchange(parser().parse_args(["--seed", "2", "--now", str(NOW)]), lambda: T)
    assert usd(other) != seen[0]


def test_the_price_in_brl_is_what_the_running_candle_ends_with() -> None:
    market = exchange()
    target = f"/api/v4/candles?symbol=BTC-BRL&resolution=1d&from={T}&to={NOW}"
    close = json.loads(market.answer(target).body)["c"][0]
    reply = ask(market, "ids=bitcoin&vs_currencies=brl,usd&precision=full")
    assert reply["bitcoin"]["brl"] == Decimal(close)
    assert reply["bitcoin"]["usd"] == pytest.approx(Decimal(close) / Decimal("5.5"))


def test_recorded_replies_are_sent_in_turn_to_the_last_digit_and_the_last_one_for_ever(
    tmp_path: Path,
) -> None:
    market = replayed(
        tmp_path,
        '{"bitcoin":{"usd":67187.335893656600001,"last_updated_at":1711356300},"x":{"usd":1e-05}}',
        "",
        '{"bitcoin":{"usd":null,"last_updated_at":null}}',
    )
    query = "ids=bitcoin,x,y&vs_currencies=usd&include_last_updated_at=true"
    assert market.answer(f"{PRICE}/?{query}").body == (
        b'{"bitcoin":{"usd":67187.335893656600001,"last_updated_at":1711356300},'
        b'"x":{"usd":0.00001,"last_updated_at":1700042430}}'
    )
    for _ in range(2):
        assert ask(market, query)["bitcoin"] == {"usd": None, "last_updated_at": None}


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
    first = {"usd": Decimal("1.000000000000000001"), "brl": 5}
    assert ask(market, query) == {"bitcoin": first, "ethereum": {"usd": 2}}
    for _ in range(2):
        assert ask(market, query) == {"bitcoin": {"usd": 3, "brl": 5}, "ethereum": {"usd": 2}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "holds no reply"),
        (interaction("{}", "coins/bitcoin"), "holds no reply of /simple/price"),
        ("[" * 100_000, "line 1: "),
        ("[]", "line 1: "),
        ('{}\n{"bitcoin":1}', "line 2: "),
        ('{"bitcoin":{"usd":NaN}}', "line 1: .*'bitcoin' has a price that is no number"),
        (interaction("Throttled"), "line 1: "),
        ("\udcff", ""),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(
    tmp_path: Path, line: str, problem: str
) -> None:
    path = tmp_path / "replies.jsonl"
    path.write_bytes(line.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match=rf"replies\.jsonl: {problem}"):
        build_exchange(parser().parse_args(["--prices", str(path)]), lambda: NOW)


def test_one_coin_jumps_after_its_first_price_and_comes_back() -> None:
    usual = SimulatedPrices()
    spiked = SpikedPrices(usual, Coin("BTC", "bitcoin"), Decimal("1.1"), 600)
    ids = ("bitcoin", "ethereum")
    assert spiked.quotes(["ethereum"], NOW) == usual.quotes(["ethereum"], NOW)
    assert spiked.quotes(ids, NOW) == usual.quotes(ids, NOW)
    jumped = spiked.quotes(ids, NOW + 10)
    assert jumped["ethereum"] == usual.quotes(ids, NOW + 10)["ethereum"]
    before = usual.quotes(ids, NOW + 10)["bitcoin"].prices["brl"]
    assert before is not None
    assert jumped["bitcoin"].prices["brl"] == before * Decimal("1.1")
    assert jumped["bitcoin"].updated_at == NOW + 10
    assert spiked.quotes(ids, NOW + 609)["bitcoin"] == jumped["bitcoin"]
    assert spiked.quotes(ids, NOW + 610) == usual.quotes(ids, NOW + 610)
