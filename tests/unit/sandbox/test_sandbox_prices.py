"""The stand-in's spot prices: CoinGecko's shape, the simulated and the recorded ones, the board."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.errors import ConfigurationError
from app.core.market import DAY
from app.core.prices import COIN_IDS, Coin
from app.sandbox.assembly import build_exchange
from app.sandbox.exchange import COINGECKO_PATH, Exchange
from app.sandbox.options import parser
from app.sandbox.price_books import RecordedPrices, SimulatedPrices
from app.sandbox.prices import PriceBook
from app.sandbox.simulation import Simulation

T = 1_700_006_400  # 2023-11-15 00:00 UTC
NOW = T + 36_030
PRICE = f"{COINGECKO_PATH}/simple/price"
ALL = ",".join(COIN_IDS.values())
FULL = "include_last_updated_at=true&precision=full"


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
    """The prices in full precision by id."""
    reply = ask(market, f"ids={ids}&vs_currencies=usd&precision=full")
    return {coin_id: entry["usd"] for coin_id, entry in reply.items()}


def holding(text: str) -> Exchange:
    """An exchange where a bitcoin costs just this."""
    market = exchange()
    market.prices.set("bitcoin", "usd", Decimal(text))
    return market


# the wire


def test_a_reply_is_an_object_of_coins_with_json_numbers() -> None:
    market = exchange()
    market.prices.set("bitcoin", "usd", Decimal("67187.3358936566"))
    market.prices.set("cardano", "usd", Decimal("0.00001234"), updated_at=T)
    market.prices.set("polkadot", "usd", Decimal(7))
    reply = market.answer(f"{PRICE}?ids=bitcoin,cardano,polkadot&vs_currencies=usd&{FULL}")
    assert reply.body == (
        b'{"bitcoin":{"usd":67187.3358936566,"last_updated_at":1700042430},'
        b'"cardano":{"usd":1.234e-05,"last_updated_at":1700006400},'
        b'"polkadot":{"usd":7,"last_updated_at":1700042430}}'
    )


def test_without_being_asked_for_no_time_is_sent() -> None:
    assert set(ask(exchange(), "ids=bitcoin&vs_currencies=usd")["bitcoin"]) == {"usd"}
    query = "ids=bitcoin&vs_currencies=usd&include_last_updated_at=false"
    assert set(ask(exchange(), query)["bitcoin"]) == {"usd"}


def test_unknown_ids_and_currencies_are_left_out() -> None:
    assert set(ask(exchange(), "ids=bitcoin,nope,cardano&vs_currencies=usd")) == {
        "bitcoin",
        "cardano",
    }
    assert ask(exchange(), "ids=nope&vs_currencies=usd") == {}
    assert ask(exchange(), "ids=bitcoin&vs_currencies=xyz") == {"bitcoin": {}}
    both = ask(exchange(), "ids=%20bitcoin,bitcoin&vs_currencies=USD,brl")
    assert list(both["bitcoin"]) == ["usd", "brl"]


@pytest.mark.parametrize("path", [PRICE, f"{PRICE}/"])
def test_the_path_may_end_with_a_slash(path: str) -> None:
    assert b"bitcoin" in exchange().answer(f"{path}?ids=bitcoin&vs_currencies=usd").body


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("vs_currencies=usd", 422, "Missing parameter ids"),
        ("ids=&vs_currencies=usd", 422, "Missing parameter ids"),
        ("ids=bitcoin", 422, "Missing parameter vs_currencies"),
        ("ids=bitcoin&vs_currencies=usd&precision=19", 400, "Invalid precision"),
        ("ids=bitcoin&vs_currencies=usd&precision=-1", 400, "Invalid precision"),
        ("ids=bitcoin&vs_currencies=usd&precision=all", 400, "Invalid precision"),
    ],
)
def test_a_wrong_request_gets_an_error_body(query: str, status: int, message: str) -> None:
    assert ask(exchange(), query, status) == {"error": message}


@pytest.mark.parametrize("path", ["/simple/pric", "/simple/price/x", "/coins/bitcoin", "/"])
def test_other_paths_of_coingecko_are_not_there(path: str) -> None:
    reply = exchange().answer(COINGECKO_PATH + path)
    assert reply.status == 404
    assert set(json.loads(reply.body)) == {"error"}


@pytest.mark.parametrize(
    ("price", "precision", "sent"),
    [
        ("67187.3358936566", "full", "67187.3358936566"),
        ("67187.3358936566", "2", "67187.34"),
        ("67187.3358936566", "0", "67187"),
        ("67187.5", "0", "67188"),
        ("67187.3358936566", "18", "67187.3358936566"),
        ("600000", "full", "600000"),
        ("0.0001", "full", "0.0001"),
        ("0.00009", "full", "9.0e-05"),
        ("1E-10", "full", "1.0e-10"),
        ("-0.00009", "full", "-9.0e-05"),
        ("0", "full", "0"),
        ("93638.12", "", "93638"),
        ("2520.814", "", "2520.81"),
        ("17.2249", "", "17.22"),
        ("1.00149", "", "1.001"),
        ("0.5487834", "", "0.548783"),
        ("0.0004545249", "", "0.00045452"),
    ],
)
def test_precision_is_full_or_a_number_of_places(price: str, precision: str, sent: str) -> None:
    reply = holding(price).answer(f"{PRICE}?ids=bitcoin&vs_currencies=usd&precision={precision}")
    assert reply.body == f'{{"bitcoin":{{"usd":{sent}}}}}'.encode()


def test_without_precision_every_recorded_price_would_be_sent_as_it_was(recordings: Path) -> None:
    lines = (recordings / "coingecko" / "dev_recorded_to_2024.jsonl").read_text().splitlines()
    items = [item for line in lines if "/simple/price" in (item := json.loads(line))["url"]]
    for item in items:
        query = parse_qs(urlsplit(item["url"]).query)
        (coin_id,), (currency,) = query["ids"], query["vs_currencies"]
        (number,) = re.findall(r":([0-9.eE+-]+)\}\}", item["body"])
        market = exchange()
        market.prices.set(coin_id, currency, Decimal(number))
        target = f"{PRICE}/?{urlsplit(item['url']).query}"
        assert market.answer(target).body.decode() == item["body"]
    assert len(items) == 24


# the simulation


def test_the_usual_coins_have_plausible_prices_that_a_reader_must_round() -> None:
    prices = usd(exchange(), ALL)
    assert 20_000 < prices["bitcoin"] < 500_000
    assert 700 < prices["ethereum"] < 20_000
    assert 30 < prices["solana"] < 800
    assert Decimal("0.1") < prices["cardano"] < 4
    assert 1 < prices["polkadot"] < 25
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


def test_a_price_is_never_older_than_some_minutes_and_never_of_the_future() -> None:
    clock = Clock()
    market = exchange(clock=clock)
    ages = []
    for minute in range(120):
        clock.now = NOW + 61 * minute
        reply = ask(market, f"ids={ALL}&vs_currencies=usd&include_last_updated_at=true")
        ages += [int(clock.now - int(entry["last_updated_at"])) for entry in reply.values()]
    assert 0 <= min(ages) <= max(ages) < 300


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


def test_a_set_price_is_sent_to_the_last_digit_until_the_board_is_cleared() -> None:
    market = exchange()
    before = usd(market, "bitcoin,ethereum")
    market.prices.set("bitcoin", "USD", Decimal("100000.000000000001"))
    assert usd(market, "bitcoin,ethereum") == {**before, "bitcoin": Decimal("100000.000000000001")}
    market.prices.set("bitcoin", "usd", Decimal(1))
    assert usd(market) == {"bitcoin": 1}
    market.prices.clear()
    assert usd(market, "bitcoin,ethereum") == before


def test_a_set_price_is_of_the_request_s_time_unless_told_otherwise() -> None:
    clock = Clock()
    market = exchange(clock=clock)
    query = "ids=bitcoin&vs_currencies=usd&include_last_updated_at=true"
    market.prices.set("bitcoin", "usd", Decimal(1))
    clock.now += 100.9
    assert ask(market, query)["bitcoin"]["last_updated_at"] == NOW + 100
    market.prices.set("bitcoin", "usd", Decimal(1), updated_at=5)
    assert ask(market, query)["bitcoin"]["last_updated_at"] == 5


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


def test_a_failure_is_sent_so_many_times_and_as_it_is() -> None:
    market = exchange()
    market.prices.fail(200, '{"status":{"error_code":429}}', {"Retry-After": "7"}, times=2)
    market.prices.fail(403, b"<html>", {"content-type": "text/html"})
    target = f"{PRICE}?ids=bitcoin&vs_currencies=usd"
    replies = [market.answer(target) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 403, 200]
    assert replies[0] == replies[1]
    assert replies[0].body == b'{"status":{"error_code":429}}'
    assert replies[0].headers == (("retry-after", "7"),)
    assert replies[0].content_type.startswith("application/json")
    assert (replies[2].body, replies[2].content_type) == (b"<html>", "text/html")
    assert b"bitcoin" in replies[3].body
    market.prices.fail(500, "")
    market.prices.clear()
    assert market.answer(target).status == 200


def test_a_failure_leaves_the_candles_alone() -> None:
    market = exchange()
    market.prices.fail(500, "")
    assert market.answer("/api/v4/symbols").status == 200


def test_beyond_the_rate_the_reply_is_coingecko_s() -> None:
    market = Exchange(Simulation(1), clock=Clock(), requests_per_second=1.0, ticks=lambda: 0.0)
    assert market.answer(f"{PRICE}?ids=bitcoin&vs_currencies=usd").status == 200
    reply = market.answer(f"{PRICE}/?ids=bitcoin&vs_currencies=usd")
    assert reply.status == 429
    assert json.loads(reply.body)["status"]["error_code"] == 429
    assert [asked.path for asked in market.requests] == [PRICE, f"{PRICE}/"]


def test_the_board_can_be_used_while_requests_are_answered() -> None:
    market = exchange(RecordedPrices([{"bitcoin": {"usd": Decimal(1)}}]))

    def change(number: int) -> int:
        market.prices.set("bitcoin", "usd", Decimal(number))
        market.prices.leave_out("ethereum")
        market.prices.fail(503, "")
        return 0

    def answered(_: int) -> int:
        return int(market.answer(f"{PRICE}?ids=bitcoin,ethereum&vs_currencies=usd").status == 503)

    with ThreadPoolExecutor(8) as pool:
        counts = [pool.submit(change if n % 2 else answered, n) for n in range(400)]
        failed = sum(count.result() for count in counts)
    while market.prices.next_failure() is not None:
        failed += 1
    assert failed == 200


# recorded replies


def replayed(folder: Path, *lines: str) -> Exchange:
    path = folder / "replies.jsonl"
    path.write_text("\n".join(lines))
    options = parser().parse_args(["--prices", str(path)])
    return build_exchange(options, Clock(), pytest.fail)


def test_recorded_replies_are_sent_in_turn_and_the_last_one_for_ever(tmp_path: Path) -> None:
    market = replayed(
        tmp_path,
        '{"bitcoin":{"usd":1.000000000000000001,"last_updated_at":1711356300},"ethereum":{}}',
        "",
        '{"bitcoin":{"usd":null,"brl":7,"last_updated_at":null}}',
        '{"bitcoin":{"usd":3}}',
    )
    query = f"ids=bitcoin,ethereum&vs_currencies=usd&{FULL}"
    assert ask(market, query) == {
        "bitcoin": {"usd": Decimal("1.000000000000000001"), "last_updated_at": 1711356300},
        "ethereum": {"last_updated_at": NOW},
    }
    assert ask(market, query) == {"bitcoin": {"usd": None, "last_updated_at": None}}
    for _ in range(3):
        assert ask(market, query) == {"bitcoin": {"usd": 3, "last_updated_at": NOW}}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "holds no reply"),
        ("nope", "line 1: is not valid JSON"),
        ("[" * 100_000, "line 1: is not valid JSON"),
        ("[]", "line 1: is no JSON object"),
        ('{}\n{"bitcoin":1}', "line 2: 'bitcoin' must be an object of numbers"),
        ('{"bitcoin":{"usd":"1"}}', "line 1: 'bitcoin' must be an object of numbers"),
        ('{"bitcoin":{"usd":NaN}}', "line 1: NaN is not a number"),
        ('{"bitcoin":{"usd":1,"last_updated_at":1.5}}', "last_updated_at of 'bitcoin' is no"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(
    tmp_path: Path, line: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"replies\.jsonl: ") as caught:
        replayed(tmp_path, line)
    assert problem in str(caught.value)


def interaction(body: str, path: str = "simple/price/?ids=x", status: int = 200) -> str:
    """One recorded request and its reply, as a line."""
    url = f"https://api.coingecko.com/api/v3/{path}"
    return json.dumps({"method": "GET", "url": url, "status": status, "body": body})


def test_recorded_interactions_are_each_coin_s_prices_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "interactions.jsonl"
    path.write_text(
        "\n".join(
            [
                interaction('{"bitcoin":{"usd":1.000000000000000001}}'),
                interaction('{"ethereum":{"usd":2}}'),
                interaction('{"id":"bitcoin"}', "coins/bitcoin"),
                interaction('{"bitcoin":{"brl":5}}', "simple/price?ids=bitcoin&vs_currencies=brl"),
                interaction('{"status":{"error_code":429}}', status=429),
                interaction('{"bitcoin":{"usd":3}}'),
            ]
        )
    )
    said: list[str] = []
    options = parser().parse_args(["--prices", str(path)])
    market = build_exchange(options, Clock(), said.append)
    query = "ids=bitcoin,ethereum,cardano&vs_currencies=usd,brl&precision=full"
    first = ask(market, query)
    assert first == {
        "bitcoin": {"usd": Decimal("1.000000000000000001"), "brl": 5},
        "ethereum": {"usd": 2},
    }
    for _ in range(2):
        assert ask(market, query) == {"bitcoin": {"usd": 3, "brl": 5}, "ethereum": {"usd": 2}}
    timed = ask(market, f"{query}&include_last_updated_at=true")
    assert timed["bitcoin"]["last_updated_at"] == NOW
    assert said == [f"{path}: 2 of 6 interactions are no prices and are left out"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            [interaction("{}", "coins/bitcoin")],
            "holds no interaction with a reply of /simple/price",
        ),
        ([interaction("{}"), '{"bitcoin":{"usd":1}}'], "holds both replies and interactions"),
        ([interaction("Throttled")], "line 1: is not valid JSON"),
        ([interaction("{}"), interaction('{"bitcoin":1}')], "line 2: 'bitcoin' must be an object"),
    ],
)
def test_interactions_without_usable_prices_are_refused(
    tmp_path: Path, lines: list[str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        replayed(tmp_path, *lines)


def test_the_interactions_that_were_recorded_are_replayed(recordings: Path) -> None:
    path = recordings / "coingecko" / "dev_recorded_to_2024.jsonl"
    said: list[str] = []
    options = parser().parse_args(["--prices", str(path)])
    market = build_exchange(options, Clock(), said.append)
    found = [usd(market, "ethereum")["ethereum"] for _ in range(3)]
    assert found == [Decimal("1667.18"), Decimal("2520.81"), Decimal("2520.81")]
    assert said == [f"{path}: 5 of 29 interactions are no prices and are left out"]


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, problem in (("absent", "cannot be read"), ("binary", "no text in UTF-8")):
        options = parser().parse_args(["--prices", str(tmp_path / name)])
        with pytest.raises(ConfigurationError, match=problem):
            build_exchange(options, Clock(), pytest.fail)


def test_the_seed_and_the_clock_of_the_command_line_reach_the_prices() -> None:
    def started(*argv: str) -> Mapping[str, Decimal]:
        options = parser().parse_args(["--now", str(T), *argv])
        return usd(build_exchange(options, Clock(), pytest.fail), ALL)

    assert started() == usd(exchange(clock=Clock(T)), ALL)
    assert started("--seed", "2") == usd(exchange(SimulatedPrices(2), Clock(T)), ALL)
    assert started("--now", str(T + DAY)) != started()
