"""GET /{pair}/latest and GET /latest."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from decimal import Decimal
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.market import DAY, AverageRow, Candle, Interval, Series
from app.testing.series import MemorySeriesStore
from tests.support.api import ETH, LAST, Client, FakeRuntime, load, means, serving
from tests.support.candles import BTC, BTC_DAILY

LINES = ("close", "mms_20", "mms_50", "mms_200")
NONE_STORED: dict[str, Any] = {
    **dict.fromkeys(("timestamp", "closed_at", *LINES, "previous", "distance_200", "trend")),
    "crossed": [],
    "as_of": None,
    "stale": True,
}


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def api(runtime: FakeRuntime) -> Iterator[Client]:
    with serving(runtime, intervals="1d,1h", access_log="off") as client:
        yield client


def store(runtime: FakeRuntime, closes: dict[int, int], series: Series = BTC_DAILY) -> None:
    """Store these closes (1e-8, by bucket) as all that there is of the series."""
    with runtime.store.begin(series) as unit:
        unit.clear()
        unit.put_candles([Candle(b, c, c, c, c, None) for b, c in sorted(closes.items())])
        rows = [AverageRow(b, means(closes, b, series.step)) for b in sorted(closes)]
        unit.put_averages(rows)
        unit.finish(changed=True, now=LAST + DAY + 300)


def days(*closes: int) -> dict[int, int]:
    """These closes, of the days up to the last one."""
    return {LAST - back * DAY: close for back, close in enumerate(reversed(closes))}


def test_the_newest_candle_comes_with_what_lies_around_it_and_what_just_crossed(
    runtime: FakeRuntime, api: Client
) -> None:
    store(runtime, days(*[10**8] * 200, 2 * 10**8))
    got = api.get("/btc-brl/latest")
    assert got.json() == {
        "pair": "BRLBTC",
        "interval": "1d",
        "timestamp": LAST,
        "closed_at": LAST + DAY,
        "close": Decimal("2.0"),
        "mms_20": Decimal("1.05"),
        "mms_50": Decimal("1.02"),
        "mms_200": Decimal("1.005"),
        "previous": {"timestamp": LAST - DAY, **dict.fromkeys(LINES, Decimal("1.0"))},
        "distance_200": "0.9900",
        "trend": "above",
        "crossed": [f"{a}>{b}" for a, b in combinations(LINES, 2)],
        "as_of": "2024-03-29T00:00:00Z",
        "stale": False,
    }
    assert list(got.json())[-2:] == ["as_of", "stale"]
    assert got.header("x-data-as-of") == "2024-03-29T00:00:00Z"
    assert got.header("x-data-stale") == "false"
    assert got.header("x-data-missing") == "0"
    assert got.header("x-data-reason") is None


@pytest.mark.parametrize(
    ("closes", "words"),
    [
        ({}, "Nothing is stored for BRLBTC at 1d"),
        (days(5), "No candle is stored before this one"),
        ({LAST: 5, LAST - 2 * DAY: 6}, "The candle right before this one is missing"),
        (days(*range(5, 60)), "mms_200 cannot be computed"),
    ],
)
def test_whatever_is_absent_has_its_reason_in_the_reply_and_in_its_headers(
    runtime: FakeRuntime, api: Client, closes: dict[int, int], words: str
) -> None:
    store(runtime, closes)
    got = api.get("/BRLBTC/latest")
    message = got.json()["message"]
    assert got.status == 200
    assert got.json()["crossed"] == []
    assert words in message
    assert got.header("x-data-reason") == message
    assert len(message) <= 300
    assert ("GET /BRLBTC/gaps?interval=1d says" in message) == bool(closes)


def test_a_pair_without_data_is_all_null_and_everything_served_is_missing(api: Client) -> None:
    got = api.get("/BRLETH/latest?interval=1h")
    assert got.json().items() >= (NONE_STORED | {"pair": "BRLETH", "interval": "1h"}).items()
    assert got.header("x-data-missing") == str(365 * 24)
    assert got.header("x-data-as-of") is None


@pytest.mark.parametrize(
    ("after", "missing", "stale"),
    [(0, "0", "false"), (60, "0", "false"), (120, "1", "false"), (3_601, "1", "true")],
)
def test_what_is_due_after_the_newest_candle_is_counted_and_makes_it_stale(
    runtime: FakeRuntime, api: Client, after: int, missing: str, stale: str
) -> None:
    load(runtime.store)
    runtime.now = LAST + 2 * DAY + after
    for path in ("/BRLBTC/latest", "/latest"):
        store(runtime, days(1, 2), Series(ETH, Interval.DAY))
        got = api.get(path)
        each = 1 if path.startswith("/B") else 2
        assert got.header("x-data-missing") == str(each * int(missing))
        assert got.header("x-data-stale") == stale


def test_the_newest_of_all_pairs_are_those_of_each_in_the_order_of_the_settings(
    runtime: FakeRuntime, api: Client
) -> None:
    load(runtime.store)
    store(runtime, {LAST + 20 * 3_600: 7}, Series(BTC, Interval.HOUR))
    store(runtime, {LAST + 21 * 3_600: 7}, Series(ETH, Interval.HOUR))
    for query, as_of, missing, stale in (
        ("", "2024-03-29T00:00:00Z", 365, "true"),
        ("?interval=1h", "2024-03-29T20:00:00Z", 12 + 11, "true"),
    ):
        got = api.get(f"/latest{query}")
        singles = [api.get(f"/{pair}/latest{query}") for pair in ("BRLBTC", "BRLETH")]
        assert got.json() == [single.json() for single in singles]
        assert got.header("x-data-as-of") == as_of
        assert got.header("x-data-stale") == stale
        assert got.header("x-data-missing") == str(missing)
        assert got.header("x-data-reason") is None


def test_gzip_and_a_held_reply_are_as_everywhere(runtime: FakeRuntime) -> None:
    pairs = "BRLBTC,BRLETH,BRLSOL,BRLADA"
    with serving(runtime, allowed_pairs=pairs, access_log="off") as api:
        plain = api.raw("GET", "/latest")[2]
        _, headers, packed = api.raw("GET", "/latest", [("Accept-Encoding", "gzip")])
        assert gzip.decompress(packed) == plain
        assert dict(headers)[b"etag"].startswith(b"W/")
        held = ("If-None-Match", dict(headers)[b"etag"].decode())
        again = api.get("/latest", held)
        assert (again.status, again.body) == (304, b"")
        assert again.header("x-data-missing") == str(4 * 365)
        load(runtime.store)
        assert api.get("/latest", held).status == 200


class CountingStore(MemorySeriesStore):
    """A store that counts its reads."""

    reads = 0

    def rows(self, *args: Any, **kwargs: Any) -> Any:
        self.reads += 1
        return super().rows(*args, **kwargs)

    def state(self, series: Series) -> Any:
        self.reads += 1
        return super().state(series)


def test_one_read_of_each_series_is_enough() -> None:
    counting = CountingStore()
    with serving(FakeRuntime(counting)) as api:
        before = counting.reads
        api.get("/latest")
        assert counting.reads - before == 2


def test_a_service_without_days_asks_for_the_interval(runtime: FakeRuntime) -> None:
    with serving(runtime, intervals="1h") as api:
        assert [api.get(f"/latest{query}").status for query in ("", "?interval=1h")] == [400, 200]


def test_a_pair_of_this_name_and_the_address_of_all_pairs_are_told_apart() -> None:
    with serving(FakeRuntime(), allowed_pairs="TEST-LA,BRLBTC") as api:
        assert [each["pair"] for each in api.get("/latest").json()] == ["LATEST", "BRLBTC"]
        assert api.get("/latest/latest").json()["pair"] == "LATEST"
        assert api.get("/LATEST/mms?range=20").status == 200


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeRuntime, Client]]:
    runtime = FakeRuntime()
    with serving(runtime, access_log="off") as client:
        yield runtime, client


@given(st.integers(0), st.sets(st.integers(0, 230), max_size=3), st.integers(1, 230))
@settings(deadline=None)
def test_it_says_what_the_last_two_candles_say(
    shared: tuple[FakeRuntime, Client], seed: int, gone: set[int], count: int
) -> None:
    runtime, api = shared
    chance = Random(seed)
    numbers = [number for number in range(count) if number not in gone]
    store(runtime, {LAST - number * DAY: chance.randint(1, 6) for number in numbers})
    got = api.get("/BRLBTC/latest").json()
    rows = api.get("/BRLBTC/candles?windows=20,50,200").json()
    two = [{name: row[name] for name in ("timestamp", *LINES)} for row in rows[-2:]]
    newest = two.pop() if two else dict.fromkeys(("timestamp", *LINES))
    previous = two.pop() if two else None
    assert {name: got[name] for name in newest} == newest
    assert got["previous"] == previous
    assert got["crossed"] == _crossed(previous, newest)


def _crossed(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """What crossed, by the numbers of two replies."""
    crossed = []
    if before is not None and before["timestamp"] == now["timestamp"] - DAY:
        for a, b in combinations(LINES, 2):
            if None in (before[a], before[b], now[a], now[b]):
                continue
            if before[a] <= before[b] and now[a] > now[b]:
                crossed.append(f"{a}>{b}")
            if before[a] >= before[b] and now[a] < now[b]:
                crossed.append(f"{a}<{b}")
    return crossed
