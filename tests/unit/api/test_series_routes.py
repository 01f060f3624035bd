"""GET /{pair}/mms and GET /{pair}/candles, from request to bytes."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from app.core.market import DAY, Interval, Series
from tests.support.api import BTC, LAST, Client, FakeRuntime, load, serving

HOUR = Interval.HOUR


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    """BTC daily with two holes and hourly for a while; ETH served but not loaded."""
    runtime = FakeRuntime()
    load(runtime.store, without=[LAST - 30 * DAY, LAST - 300 * DAY])
    load(runtime.store, Series(BTC, HOUR), last=LAST + DAY - 3600, count=400)
    with serving(runtime, intervals="1d,1h") as client:
        yield client


def test_the_default_is_a_year_of_averages(api: Client) -> None:
    got = api.get("/BRLBTC/mms?range=20")
    assert got.status == 200
    assert got.header("content-type") == "application/json"
    rows = got.json()
    stamps = [row["timestamp"] for row in rows]
    assert stamps == sorted(stamps)
    assert (stamps[0], stamps[-1]) == (LAST - 364 * DAY, LAST)
    assert {type(row["mms"]) for row in rows} == {Decimal}
    assert got.header("x-data-as-of") == "2024-03-29T00:00:00Z"
    assert got.header("x-data-missing") == "40"
    assert len(rows) == 365 - 40
    assert got.header("x-data-reason") is None
    assert got.header("last-modified") == "Sat, 30 Mar 2024 00:05:00 GMT"


@pytest.mark.parametrize(
    "target",
    [
        "/BRLBTC/mms?from=2024-01-01&to=2024-01-31&range=50",
        "/brlbtc/mms?range=50&to=2024-01-31&from=2024-01-01",
        "/BTC-BRL/mms?from_ts=1704067200&to_ts=1706659200&range_days=50",
        "/btc-Brl/mms?from=2024-01-01T00:00:00Z&to=2024-01-31T20:59:59-03:00&range=50",
        "/BRLBTC/mms?from=2024-01-01T03:00:00+03:00&to=1706659200&range=50&interval=1d",
        "/BRLBTC/mms?from=2023-12-31T23:59:59.001Z&to=2024-01-31T23%3A59%3A59Z&range=50",
    ],
)
def test_every_spelling_of_one_question_has_one_answer(api: Client, target: str) -> None:
    got = api.get(target)
    assert got.status == 200, got.body
    rows = got.json()
    assert [row["timestamp"] for row in rows] == [1_704_067_200 + day * DAY for day in range(31)]
    whole = api.get("/BRLBTC/mms?range=50&from=0").json()
    assert rows == [row for row in whole if 1_704_067_200 <= row["timestamp"] <= 1_706_659_200]


def test_a_pair_without_data_is_an_empty_list_that_says_what_is_tried(api: Client) -> None:
    for target in ("/BRLETH/mms?range=20", "/BRLETH/candles"):
        got = api.get(target)
        assert (got.status, got.body) == (200, b"[]\n")
        assert got.header("x-data-missing") == "365"
        assert (got.header("x-data-as-of"), got.header("x-data-stale")) == (None, "true")
        reason = got.header("x-data-reason") or ""
        assert "BRLETH at 1d" in reason
        assert "no load of it has begun" in reason


def test_candles_have_their_averages_only_when_asked(api: Client) -> None:
    plain = api.get("/BRLBTC/candles?from=2024-03-28").json()
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    assert [list(row) for row in plain] == [names, names]
    asked = api.get("/BRLBTC/candles?from=2024-03-28&windows=200,20").json()
    assert [list(row) for row in asked] == [[*names, "mms_20", "mms_200"]] * 2
    averages = api.get("/BRLBTC/mms?range=20&from=2024-03-28").json()
    assert [row["mms_20"] for row in asked] == [row["mms"] for row in averages]
    # The 200 closes before include the hole of thirty days ago.
    assert [row["mms_200"] for row in asked] == [None, None]


REFUSED = [
    ("/BRLXYZ/mms?range=20", 400, "unsupported-pair", "BRLBTC, BRLETH (or BTC-BRL, ETH-BRL)"),
    ("/BRLXYZ/mms?range=20", 400, "unsupported-pair", "can add XYZ-BRL to ALLOWED_PAIRS"),
    ("/BTCBRL/mms?range=20", 400, "unsupported-pair", "did you mean BRLBTC (or BTC-BRL)?"),
    ("/btc_brl/candles", 400, "unsupported-pair", "did you mean BRLBTC (or BTC-BRL)?"),
    ("/ETHUSD/candles", 400, "unsupported-pair", "can add ETH-USD to ALLOWED_PAIRS"),
    ("/btc/brl/mms?range=20", 404, "not-found", "Did you mean the pair BRLBTC (or BTC-BRL)?"),
    ("/BRLBTC/mms?range=20,50", 422, "invalid-parameter", "candles?windows=20,50 has several"),
    ("/BRLBTC/candles?interval=1w", 400, "unsupported-interval", "1m, 15m, 1h, 3h, 1d, and no"),
    ("/BRL%EF%BC%A2TC/mms?range=20", 400, "unsupported-pair", "BRLBTC"),
    (f"/{'A' * 5000}/mms?range=20", 400, "unsupported-pair", "AAA…"),
    ("/BRLBTC/mms?range=21", 400, "unsupported-range", "use one of 20, 50, 200"),
    (f"/BRLBTC/mms?range={'9' * 1900}", 400, "unsupported-range", "999…"),
    ("/BRLBTC/candles?windows=20,21", 400, "unsupported-range", "windows=21"),
    (
        "/BRLBTC/mms?range=20&interval=15m",
        400,
        "unsupported-interval",
        "use one of 1d, 1h. The operator of this service can add it to INTERVALS.",
    ),
    ("/BRLBTC/mms?range=20&from=2024-02-01&to=2024-01-01", 400, "reversed-period", "2024-02-01T"),
    ("/BRLBTC/mms", 422, "invalid-parameter", "range is required"),
    ("/BRLBTC/mms?range=20.0", 422, "invalid-parameter", "20, 50, 200"),
    ("/BRLBTC/mms?range=%D9%A2%D9%A0", 422, "invalid-parameter", "20, 50, 200"),
    ("/BRLBTC/candles?windows=20,20", 422, "invalid-parameter", "twice"),
    ("/BRLBTC/mms?range=20&from=yesterday", 422, "invalid-parameter", "from='yesterday'"),
    (f"/BRLBTC/mms?range=20&from={'9' * 100_000}", 422, "invalid-parameter", "at most 2,048"),
    ("/BRLBTC/candles?range=20", 422, "unknown-parameter", "windows, interval"),
    ("/pairs?limit=1", 422, "unknown-parameter", "it takes none"),
    ("/BRLBTC/mms?range=20&range_days=20", 422, "repeated-parameter", "range and range_days"),
]


@pytest.mark.parametrize(("target", "status", "code", "said"), REFUSED)
def test_what_cannot_be_answered_is_refused_with_what_is_allowed(
    api: Client, target: str, status: int, code: str, said: str
) -> None:
    got = api.get(target)
    problem = got.json()
    assert (got.status, problem["code"]) == (status, code), problem
    assert said in problem["detail"]
    assert len(got.body) < 1000
    assert got.header("content-type") == "application/problem+json"


def test_more_than_ten_thousand_points_are_to_be_asked_in_parts() -> None:
    runtime = FakeRuntime()
    load(runtime.store, Series(BTC, Interval.MINUTE), last=LAST + DAY, count=10_001)
    with serving(runtime, intervals="1m") as api:
        got = api.get("/BRLBTC/candles?interval=1m&from=0")
        assert (got.status, got.json()["code"]) == (422, "invalid-parameter")
        assert "Add limit=10000 and follow the Link header" in got.json()["detail"]
        judged = api.get("/BRLBTC/anomalies?interval=1m&from=0").json()["detail"]
        assert "at most 10,000. Ask in parts" in judged, "it has no parameter limit"
        assert len(api.get("/BRLBTC/candles?interval=1m").json()) <= 10_000


def test_a_period_before_what_is_stored_is_empty_and_says_why(api: Client) -> None:
    for path in ("mms?range=200&", "candles?"):
        got = api.get(f"/BRLBTC/{path}from=2021-01-01&to=2021-12-31")
        assert (got.status, got.json(), got.header("x-data-missing")) == (200, [], "365")
        reason = got.header("x-data-reason") or ""
        assert "is stored from 2022-09-13T00:00:00Z to 2024-03-29T00:00:00Z" in reason
        assert "keeps 365 days" in reason
        held = got.header("etag") or ""
        again = api.get(f"/BRLBTC/{path}from=2021-01-01&to=2021-12-31", ("If-None-Match", held))
        assert (again.status, again.header("x-data-reason")) == (304, reason)
    partly = api.get("/BRLBTC/mms?range=200&from=2023-03-01&to=2023-04-30")
    assert "the first average over 200 can be that of 2023-03-31" in (
        partly.header("x-data-reason") or ""
    )
