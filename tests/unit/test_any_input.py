"""Whatever comes from outside: a value or an error that is documented, never another exception.

`make fuzz` runs this with many more examples.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.queries import ANOMALIES, AVERAGES, CANDLES, HISTORY, Query
from app.core.errors import ConfigurationError, InvalidRequest, StoreUnusable, UpstreamError
from app.core.market import DAY
from app.core.prices import COIN_IDS, Coin
from app.db.backup import archive
from app.db.schema import HEAD
from app.domain.fixed_point import as_decimal
from app.sources import coingecko, mercado_bitcoin, mercado_bitcoin_legacy
from app.sources.replies import ErrorReader, JsonRefused, RawReply, Reply, judge, loads
from tests.support.api import Client, FakePrices, FakeRuntime, load, serving
from tests.support.candles import BTC_DAILY

NOW = 1_711_794_030
FIRST, LAST = 1_711_497_600, 1_711_756_800
COINS = tuple(Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items())

COLUMNS = {"t": [FIRST, LAST], **{name: ["353446.62655678"] * 2 for name in "ohlcv"}}
CANDLE = {"timestamp": FIRST, "open": 5.5, "high": 6, "low": 5, "close": 5.25, "volume": 0.1}
OLDER = {"status_code": 100, "server_unix_timestamp": NOW, "candles": [CANDLE]}
PRICES = {coin.id: {"usd": 67187.3358936566, "last_updated_at": NOW - 30} for coin in COINS}
REFUSALS: list[Any] = [
    {"code": "PUBLIC_DATA|LIST_CANDLES|SYMBOL_IS_INVALID", "message": "no"},
    {"status_code": 429, "status_message": "no"},
    {"status": {"error_code": 429, "error_message": "wait"}},
    {"error": "no"},
]
SEEDS = [json.dumps(value).encode() for value in (COLUMNS, OLDER, PRICES, *REFUSALS)]
BACKUP = [
    json.dumps({"format": "mms-backup", "version": 2, "schema": HEAD, "created_at": "x"}),
    json.dumps({"table": "series", "columns": ["pair", "revision"]}),
    '["BTC-BRL",7]',
    json.dumps({"end": {"rows": {"series": 1}, "sha256": "0"}}),
    "",
]
WORDS = [
    *[b"null", b"true", b"NaN", b"-0", b"1e400", b"1E-9", b'"1.5"', b"[]", b"{}", b"[" * 99_999],
    *[
        b"\\u0000",
        b"\\ud800",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"9223372036854775808",
        b"\n",
        b"<html>",
    ],
]
ANYTHING = st.sampled_from(WORDS) | st.binary(max_size=30)


def changed(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Any bytes, and seeds of which a part was replaced a few times."""

    def spliced(whole: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
        for where, length, other in changes:
            at = int(where * len(whole))
            whole = whole[:at] + other + whole[at + length :]
        return whole

    change = st.tuples(st.floats(0, 1), st.integers(0, 30), ANYTHING)
    return st.binary(max_size=200) | st.builds(
        spliced, st.sampled_from(seeds), st.lists(change, max_size=4)
    )


class Door:
    """What a source asks instead of a host: it answers with the bytes that are tried."""

    host = "exchange.example"

    def __init__(self, body: bytes, read_error: ErrorReader) -> None:
        self._body = body
        self._read_error = read_error

    def get_json(self, _path: str, _query: Mapping[str, object]) -> Reply:
        """The bytes, judged as the real door judges them."""
        headers = {"content-type": "application/json", "date": "Sat, 30 Mar 2024 10:20:30 GMT"}
        return judge(RawReply(200, headers, self._body), self.host, self._read_error, NOW)


def now() -> float:
    return NOW


@given(changed(SEEDS))
def test_strict_json_reads_or_refuses_and_makes_no_number_a_float(data: bytes) -> None:
    try:
        waiting = [loads(data)]
    except JsonRefused:
        return
    while waiting:
        each = waiting.pop()
        assert not isinstance(each, float)
        waiting += (
            each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        )


@pytest.mark.parametrize("legacy", [False, True])
@given(data=changed(SEEDS))
def test_a_reply_becomes_closed_candles_of_the_grid_or_an_upstream_error(
    legacy: bool, data: bytes
) -> None:
    module: Any = mercado_bitcoin_legacy if legacy else mercado_bitcoin
    door = Door(data, module.read_error)
    source = module.MercadoBitcoinLegacy(door, now) if legacy else module.MercadoBitcoin(door, now)
    try:
        page = source.page(BTC_DAILY, FIRST, LAST)
    except UpstreamError:
        return
    stamps = [candle.bucket for candle in page.candles]
    assert stamps == sorted(set(stamps))
    for candle in page.candles:
        assert candle.bucket % DAY == 0
        assert FIRST <= candle.bucket <= min(LAST, page.exchange_time - DAY)
        assert 0 < candle.low <= min(candle.open, candle.close)
        assert max(candle.open, candle.close) <= candle.high
        assert candle.volume is None or as_decimal(candle.volume) >= 0


@given(changed(SEEDS))
def test_a_reply_becomes_positive_prices_of_what_was_asked_or_an_upstream_error(
    data: bytes,
) -> None:
    door: Any = Door(data, coingecko.read_error)
    try:
        reply = coingecko.CoinGecko(door, now).prices(COINS, "usd")
    except UpstreamError:
        return
    assert all(as_decimal(price.price) > 0 and price.coin in COINS for price in reply.prices)


@given(data=changed(["\n".join(BACKUP).encode()]), packed=st.booleans())
def test_a_file_is_a_backup_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, packed: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.mmsb"
    file.write_bytes(gzip.compress(data, 1) if packed else data)
    refused = pytest.raises((StoreUnusable, ConfigurationError))
    with refused, archive.reading(file) as backup:
        list(backup.rows())


NAMES = st.sampled_from(
    ["from", "to", "from_ts", "range", "range_days", "interval", "windows", "limit", "x", ""]
)
VALUES = st.one_of(
    st.sampled_from(["20", "200", "1d", "1m", "0", "-1", "2024-03-29", "20,50", "1e9", "robust"]),
    st.integers(-(10**30), 10**30).map(str),
    st.datetimes().map(str),
    st.text(max_size=30),
)
QUERIES = st.binary(max_size=120) | st.lists(st.tuples(NAMES, VALUES), max_size=4).map(
    lambda items: "&".join(f"{k}={v}" for k, v in items).encode("utf-8", "surrogatepass")
)
PATHS = st.one_of(
    st.sampled_from(["/BRLBTC/mms", "/BTC-BRL/candles", "/BRLBTC/anomalies", "/BRLBTC/gaps"]),
    st.sampled_from(["/history/BTC", "/anomaly/ADA", "/collect-once/BTC", "/pairs", "/docs", ""]),
    st.text(max_size=40).map(lambda text: f"/{text}/mms"),
    st.text(max_size=80).map(lambda text: f"/{text}"),
    st.text(max_size=80).map(lambda text: f"/docs/{text}"),
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["X-Request-ID", "Host", "Accept", "If-None-Match", "Range", "Cookie"]),
        st.text(st.characters(max_codepoint=255), max_size=30),
    ),
    max_size=3,
)


@pytest.mark.parametrize("query", [AVERAGES, CANDLES, ANOMALIES, HISTORY, Query()])
@given(raw=QUERIES)
def test_a_query_is_read_or_refused(query: Query, raw: bytes) -> None:
    try:
        values = query.read(raw)
    except InvalidRequest:
        return
    assert values.keys() <= {parameter.name for parameter in query.parameters}


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    runtime = FakeRuntime(price_source=FakePrices({"BTC": 6 * 10**12}))
    load(runtime.store, count=60)
    with serving(runtime, access_log="off") as client:
        yield client


@given(
    method=st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "X"]),
    path=PATHS,
    query=QUERIES,
    headers=HEADERS,
)
def test_a_request_gets_a_reply_or_a_problem_and_never_a_server_error(
    api: Client, method: str, path: str, query: bytes, headers: list[tuple[str, str]]
) -> None:
    got = api.send(method, path, path.encode("utf-8", "surrogatepass"), query, headers)
    assert 200 <= got.status < 500
    if got.status >= 400 and method != "HEAD" and not path.startswith("/static"):
        problem = json.loads(got.body)
        assert problem["status"] == got.status
        assert problem["detail"]
