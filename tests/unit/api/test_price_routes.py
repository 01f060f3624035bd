"""The routes of prices: symbols, limits, thresholds, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.errors import (
    BudgetSpent,
    OutOfTurn,
    StoreUnusable,
    UpstreamBlocked,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.core.market import DAY
from tests.support.api import LAST, NOW, Client, FakePrices, FakeRuntime, load, serving


@pytest.fixture
def source() -> FakePrices:
    return FakePrices({"BTC": 6 * 10**12, "ADA": 5 * 10**7})


@pytest.fixture
def api(source: FakePrices) -> Iterator[Client]:
    runtime = FakeRuntime(price_source=source)
    load(runtime.store)
    with serving(runtime, collect_min_seconds=0) as client:
        yield client


def collect(api: Client, symbol: str = "BTC") -> None:
    assert api.ask("POST", f"/collect-once/{symbol}").status == 200


@pytest.mark.parametrize(
    "path", ["/history/DOGE", "/anomaly/bitcoin", "/collect-once/BTC%00", "/history/%C4%B1"]
)
def test_an_unsupported_symbol_is_400_and_the_supported_ones_are_named(
    api: Client, path: str
) -> None:
    got = api.ask("POST" if "collect" in path else "GET", path)
    assert got.status == 400
    assert got.json()["code"] == "unsupported-symbol"
    assert "BTC, ETH, SOL, ADA, DOT" in got.json()["detail"]


def test_an_unsupported_symbol_is_told_how_it_comes_to_be_collected(api: Client) -> None:
    detail = api.get("/history/xrp").json()["detail"]
    assert detail.endswith("can add it to ALLOWED_SYMBOLS, as XRP:coingecko-id.")


def test_symbols_are_read_in_any_case(api: Client, source: FakePrices) -> None:
    for symbol in ("btc", "BTC", "Btc"):
        assert api.ask("POST", f"/collect-once/{symbol}").json()["symbol"] == "BTC"
        assert api.get(f"/history/{symbol}").status == 200
    assert source.asked == [("BTC",)] * 3


def test_supported_symbols_are_those_of_the_settings() -> None:
    with serving(FakeRuntime(), allowed_symbols="eth,XRP:ripple") as api:
        assert api.get("/supported-symbols").json() == {
            "symbols": ["ETH", "XRP"],
            "mappings": {"ETH": "ethereum", "XRP": "ripple"},
        }
        assert api.get("/history/BTC").status == 400


def test_a_collected_price_is_answered_as_it_is_stored(api: Client) -> None:
    got = api.ask("POST", "/collect-once/ADA").json()
    assert got == {
        "id": 1,
        "symbol": "ADA",
        "price": Decimal("0.5"),
        "currency": "usd",
        "timestamp": NOW,
        "priced_at": NOW,
        "stale": False,
    }
    assert api.get("/history/ADA").json() == [got]


@pytest.mark.parametrize("limit", ["0", "10001", "1.5", "١"])
def test_a_limit_that_cannot_be_is_422_and_names_what_can(api: Client, limit: str) -> None:
    got = api.get(f"/history/BTC?limit={limit}")
    assert (got.status, got.json()["code"]) == (422, "invalid-parameter")
    assert "1 to 10,000" in got.json()["detail"]


def test_limits_and_periods_bound_the_history(api: Client) -> None:
    for _ in range(5):
        collect(api)
    assert [row["id"] for row in api.get("/history/BTC?limit=2").json()] == [5, 4]
    assert len(api.get(f"/history/BTC?from={NOW}&to={NOW}").json()) == 5
    for period in (f"from={NOW + 1}", f"to={NOW - 1}"):
        empty = api.get(f"/history/BTC?{period}")
        assert empty.json() == []
        reason = "No price of BTC was collected in this period."
        assert empty.header("x-data-reason") == reason
    assert "No price of ETH is stored yet" in (
        api.get("/history/ETH").header("x-data-reason") or ""
    )
    assert api.get("/history/BTC?from=2024-03-30&to=2024-03-29").status == 400


def test_one_instant_between_two_seconds_is_an_empty_history_and_not_reversed(api: Client) -> None:
    instant = "2024-01-01T00:00:00.5Z"
    empty = api.get(f"/history/BTC?from={instant}&to={instant}")
    assert (empty.status, empty.json()) == (200, [])
    assert api.get("/history/BTC?since=1").status == 422


@pytest.mark.parametrize("threshold", ["0", "1001", "nan", "0.000000001", "5%"])
def test_a_threshold_that_cannot_be_is_422(api: Client, threshold: str) -> None:
    got = api.get(f"/anomaly/BTC?threshold={threshold}")
    assert (got.status, got.json()["code"]) == (422, "invalid-parameter")
    assert "0.05" in got.json()["detail"]


def test_methods_are_relative_and_robust(api: Client) -> None:
    assert api.get("/anomaly/BTC?method=robust").json()["method"] == "robust"
    assert api.get("/anomaly/BTC?method=magic").status == 422
    assert api.get("/anomaly/BTC?method=robust&threshold=0.1").status == 422


def test_fewer_than_two_prices_are_no_anomaly_and_the_reply_says_so(api: Client) -> None:
    for _ in range(2):
        got = api.get("/anomaly/ADA").json()
        assert (got["anomaly"], got["outcome"]) == (False, "insufficient")
        assert got["message"]
        # What was not compared has no usual change: 0 would be one.
        assert (got["usual_change"], got["relative_change"]) == (None, None)
        collect(api, "ADA")
    assert api.get("/anomaly/ADA").json()["outcome"] == "normal"


def test_thresholds_can_differ_by_symbol(source: FakePrices) -> None:
    chosen = {"anomaly_threshold": "0.05,ADA:0.5", "collect_min_seconds": 0}
    with serving(FakeRuntime(price_source=source), **chosen) as api:
        for symbol in ("BTC", "ADA"):
            collect(api, symbol)
        source.said = {symbol: price * 12 // 10 for symbol, price in source.said.items()}
        for symbol in ("BTC", "ADA"):
            collect(api, symbol)
        assert api.get("/anomaly/BTC").json()["anomaly"] is True
        assert api.get("/anomaly/ADA").json()["anomaly"] is False
        assert api.get("/anomaly/ADA?threshold=0.1").json()["anomaly"] is True


def test_trouble_at_the_source_is_503_with_the_wait_it_asks_for(
    api: Client, source: FakePrices
) -> None:
    source.trouble = UpstreamUnavailable("asks to wait", host="source", retry_after=41.2)
    got = api.ask("POST", "/collect-once/BTC")
    assert (got.status, got.header("retry-after")) == (503, "42")
    assert got.json()["code"] == "upstream-unavailable"
    source.trouble = UpstreamBlocked("key abc is blocked", host="source")
    got = api.ask("POST", "/collect-once/BTC")
    assert (got.status, got.header("retry-after")) == (503, None)
    assert "abc" not in got.json()["detail"]
    source.trouble, source.said = None, {}
    assert api.ask("POST", "/collect-once/BTC").status == 503
    assert api.get("/history/BTC").json() == []


@pytest.mark.parametrize(
    ("trouble", "status", "event", "level"),
    [
        (UpstreamUnavailable("busy", host="h"), 503, "upstream_unavailable", "warning"),
        (UpstreamBlocked("blocked", host="h"), 503, "request_failed", "error"),
        (UpstreamRejected("no such id", host="h"), 503, "request_failed", "error"),
        (StoreUnusable("not migrated"), 503, "request_failed", "error"),
        (BudgetSpent("spent", retry_after=86_400), 429, "price_budget_spent", "warning"),
        (OutOfTurn("busy", host="h", retry_after=2), 429, None, None),
    ],
)
def test_a_refusal_is_an_error_in_the_log_only_where_an_operator_must_act(
    api: Client,
    source: FakePrices,
    trouble: Any,
    status: int,
    event: str | None,
    level: str | None,
) -> None:
    source.trouble = trouble
    with capture_logs() as lines:
        replies = [api.ask("POST", "/collect-once/BTC") for _ in range(3)]
    assert [reply.status for reply in replies] == [status] * 3
    if status == 429:
        assert replies[0].json()["code"] == "rate-limited"
        assert replies[0].header("retry-after") == str(trouble.retry_after)
    said = [line for line in lines if line["event"] != "http_request"]
    assert [(line["event"], line["log_level"]) for line in said] == (
        [] if event is None else [(event, level)]
    )


def test_a_stored_price_is_the_reply_with_its_age_until_it_is_too_old(source: FakePrices) -> None:
    runtime = FakeRuntime(price_source=source)
    with serving(runtime, collect_min_seconds=60) as api:
        first = api.ask("POST", "/collect-once/BTC")
        runtime.now = NOW + 59.9
        second = api.ask("POST", "/collect-once/btc")
        assert (first.header("age"), second.header("age")) == (None, "59")
        assert first.json() == second.json()
        collect(api, "ADA")
        runtime.now = NOW + 60
        assert api.ask("POST", "/collect-once/BTC").json()["id"] == 3
    assert source.asked == [("BTC",), ("ADA",), ("BTC",)]


def test_closes_are_judged_by_the_same_rules(api: Client) -> None:
    calm = api.get("/BRLBTC/anomalies").json()
    assert (calm["pair"], calm["method"], calm["judged"]) == ("BRLBTC", "relative", 365)
    assert calm["anomalies"] == []
    strict = api.get("/BRLBTC/anomalies?threshold=0.00000001").json()
    assert len(strict["anomalies"]) == 365
    point = strict["anomalies"][-1]
    assert point["timestamp"] == LAST
    change = (point["close"] - point["previous"]) / point["previous"]
    assert abs(change - point["relative_change"]) < Decimal("0.00000001")
    part = api.get(f"/BRLBTC/anomalies?threshold=0.00000001&from={LAST - DAY}").json()
    assert part["anomalies"] == strict["anomalies"][-2:]
    assert api.get("/BRLBTC/anomalies?method=robust").json()["insufficient"] == 0
    assert api.get("/BRLBTC/anomalies?interval=2d").status == 400
