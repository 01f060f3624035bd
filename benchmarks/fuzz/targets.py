"""What is fuzzed: everything that reads bytes from outside, with what it promises.

Each target takes any bytes. It may refuse them by the errors that its callers know; whatever else it
raises, and any value that breaks a rule, is a finding.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.core.errors import ConfigurationError, StoreUnusable, UpstreamError
from app.core.market import Interval, Pair
from app.core.prices import COIN_IDS, Coin
from app.db import archive
from app.db.schema import HEAD
from app.sources import coingecko, mercado_bitcoin, mercado_bitcoin_legacy
from app.sources.coingecko_errors import read_error as read_coingecko_error
from app.sources.replies import ErrorReader, RawReply, Reply, judge
from app.sources.strict_json import JsonRefused, loads
from benchmarks.fuzz.engine import Target

NOW: Final = 1_711_794_030
DAY: Final = 86_400
FIRST: Final = 1_711_497_600
LAST: Final = 1_711_756_800
PAIR: Final = Pair("BTC", "BRL")

WORDS: Final = (
    b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e400", b"1E-9", b"0.123456789", b'"1.5"', b"[]",
    b"{}", b"[[[[[[[[", b'{"', b'":', b",", b"\\u0000", b"\\ud800", b"\xff\xfe", b"\xef\xbb\xbf", b'"t"',
    b'"code"', b'"error"', b'"status":429', b'"message"', b"1711756800", b"1711756800000", b'"usd"',
    b'"last_updated_at"', b"9223372036854775808", b"353446.62655678", b"\n", b"<html>", b'"end"', b'"rows"',
    b'"sha256"', b'"table"', b'"columns"',
)  # fmt: skip


@dataclass(frozen=True)
class Fuzzed:
    """A target with inputs to begin from."""

    run: Target
    seeds: tuple[bytes, ...]


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


def _clock() -> float:
    return float(NOW)


def strict_json(data: bytes) -> None:
    """It reads JSON or refuses, and no number becomes a float."""
    try:
        value = loads(data)
    except JsonRefused:
        return
    _no_floats(value)


def _no_floats(value: Any) -> None:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, float):
            raise AssertionError(f"a number became the float {each!r}")


def candles(data: bytes) -> None:
    """Replies of API v4 become candles of the grid, or errors that say what to do."""
    door: Any = Door(data, mercado_bitcoin.read_error)
    _page(mercado_bitcoin.MercadoBitcoin(door, _clock))


def legacy_candles(data: bytes) -> None:
    """The same for the older API."""
    door: Any = Door(data, mercado_bitcoin_legacy.read_error)
    _page(mercado_bitcoin_legacy.MercadoBitcoinLegacy(door, _clock))


def _page(source: Any) -> None:
    try:
        page = source.page(PAIR, Interval.DAY, FIRST, LAST)
    except UpstreamError:
        return
    stamps = [candle.bucket for candle in page.candles]
    assert stamps == sorted(set(stamps)), f"buckets out of order or twice: {stamps}"
    for candle in page.candles:
        assert candle.bucket % DAY == 0, f"a bucket off the grid: {candle.bucket}"
        assert FIRST <= candle.bucket <= LAST, f"a bucket that was not asked for: {candle.bucket}"
        # By the exchange's own clock, which stands in some of its replies.
        closed = candle.bucket + DAY <= page.exchange_time
        assert closed, f"the running candle counts as closed: {candle.bucket}"
        assert 0 < candle.low <= min(candle.open, candle.close), f"a low that is none: {candle}"
        assert max(candle.open, candle.close) <= candle.high, f"a high that is none: {candle}"
        assert candle.volume >= 0, f"a negative volume: {candle}"


def prices(data: bytes) -> None:
    """CoinGecko's replies become positive prices of the coins that were asked for, or errors."""
    coins = tuple(Coin(symbol, coin_id) for symbol, coin_id in COIN_IDS.items())
    door: Any = Door(data, read_coingecko_error)
    try:
        reply = coingecko.CoinGecko(door, _clock).prices(coins, "usd")
    except UpstreamError:
        return
    for price in reply.prices:
        assert price.price > 0, f"a price that is not positive: {price}"
        assert price.coin in coins, f"a coin that nobody asked for: {price}"


def backup(data: bytes) -> None:
    """A file that somebody made is a backup, or is refused with a line."""
    with tempfile.TemporaryDirectory(prefix="mms-fuzz-") as folder:
        file = Path(folder) / "x.mmsb"
        file.write_bytes(data)
        try:
            with archive.reading(file) as (_, parts):
                for _ in parts:
                    pass
        except (StoreUnusable, ConfigurationError):
            return


def packed_backup(data: bytes) -> None:
    """The same for what is inside the gzip, which a checksum would otherwise keep out of reach."""
    backup(gzip.compress(data, 1, mtime=0))


def _seeds() -> dict[str, tuple[bytes, ...]]:
    stamps = [FIRST + n * DAY for n in range(4)]
    text = [f"{353446 + n}.62655678" for n in range(4)]
    columns = {"t": stamps, "o": text, "h": text, "l": text, "c": text, "v": ["1.00000000"] * 4}
    objects = [
        {"timestamp": at, "open": 5.5, "high": 6, "low": 5, "close": 5.25, "volume": 0.1}
        for at in stamps
    ]
    older = {
        "status_code": 100,
        "status_message": "Success",
        "server_unix_timestamp": NOW,
        "candles": objects,
    }
    spot = {
        coin: {"usd": 67187.3358936566, "last_updated_at": NOW - 30} for coin in COIN_IDS.values()
    }
    spot["cardano"] = {"usd": 1.2e-05, "last_updated_at": NOW - 30}
    refused = {"code": "PUBLIC_DATA|LIST_CANDLES|SYMBOL_IS_INVALID", "message": "no"}
    limited = {"status": {"error_code": 429, "error_message": "wait"}}
    return {
        "candles": _encoded(columns, refused, {**columns, "s": "ok"}),
        "legacy": _encoded(older, {"status_code": 429, "status_message": "no"}),
        "prices": _encoded(spot, limited, {"error": "no"}, {"bitcoin": {"usd": None}}),
    }


def _encoded(*values: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


def _backup() -> bytes:
    """A whole small backup, unpacked."""
    with tempfile.TemporaryDirectory(prefix="mms-fuzz-") as folder:
        file = Path(folder) / "seed.mmsb"
        with archive.writing(file, HEAD, NOW) as writer:
            columns = ["checked_at", "interval", "pair", "revision"]
            writer.table("series", columns, [[b'[1,"1d","BTC-BRL",7]\n']])
            writer.end()
        return gzip.decompress(file.read_bytes())


def all_targets() -> dict[str, Fuzzed]:
    """Every target by its name."""
    seeds = _seeds()
    plain = _backup()
    return {
        "strict-json": Fuzzed(strict_json, seeds["candles"] + seeds["legacy"] + seeds["prices"]),
        "candles": Fuzzed(candles, seeds["candles"]),
        "legacy-candles": Fuzzed(legacy_candles, seeds["legacy"]),
        "prices": Fuzzed(prices, seeds["prices"]),
        "backup": Fuzzed(backup, (gzip.compress(plain, mtime=0),)),
        "packed-backup": Fuzzed(packed_backup, (plain,)),
    }
