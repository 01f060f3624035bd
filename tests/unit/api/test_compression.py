"""Replies in gzip: for whom, which, and what their headers say."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api.compression import LARGE, LEAST, Compression, accepts_gzip
from app.core.market import Interval, Series
from tests.support.api import LAST, Client, FakeRuntime, load, serving
from tests.support.candles import BTC

GZIP = ("Accept-Encoding", "gzip")
MANY = f"/BRLBTC/candles?interval=1h&from={LAST - 5_000 * 3_600}"
PATHS = ["/BRLBTC/candles", "/BRLBTC/mms?range=20", MANY, "/openapi.json"]


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    runtime = FakeRuntime()
    load(runtime.store)
    load(runtime.store, Series(BTC, Interval.HOUR), count=6_000)
    with serving(runtime, intervals="1d,1h", access_log="off") as client:
        yield client


@pytest.mark.parametrize(
    ("accepted", "gets"),
    [
        (None, False),
        ("", False),
        ("br, zstd", False),
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("*", True),
        ("*;q=0.5, gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0.5, identity", False),
        ("identity;q=0.5, gzip", True),
        ("gzip;q=x", False),
        ("gzip;q=nan", False),
        ("gzip," + "x" * 500, False),
    ],
)
def test_who_accepts_gzip_gets_it(accepted: str | None, gets: bool) -> None:
    assert accepts_gzip(None if accepted is None else accepted.encode()) is gets


def test_a_reply_in_gzip_is_the_same_reply(api: Client) -> None:
    for path in PATHS:
        status, headers, body = api.raw("GET", path)
        _, packed_headers, packed = api.raw("GET", path, [GZIP])
        assert status == 200
        assert gzip.decompress(packed) == body
        assert len(packed) < len(body) / 2
        said, packed_said = dict(headers), dict(packed_headers)
        assert packed_said[b"content-encoding"] == b"gzip"
        assert packed_said[b"content-length"] == str(len(packed)).encode()
        assert said[b"vary"] == packed_said[b"vary"] == b"Accept, Accept-Encoding"
        head = api.raw("HEAD", path, [GZIP, ("X-Request-ID", "a")])
        assert head == (200, [*packed_headers[:-1], (b"x-request-id", b"a")], b"")
    assert len(api.raw("GET", MANY)[2]) > LARGE


def test_its_tag_is_a_weak_one_and_either_tag_is_answered_with_304(api: Client) -> None:
    for path in PATHS[:3]:
        tag = dict(api.raw("GET", path)[1])[b"etag"].decode()
        weak = dict(api.raw("GET", path, [GZIP])[1])[b"etag"].decode()
        assert weak == f"W/{tag}"
        for held in (tag, weak):
            status, headers, body = api.raw("GET", path, [("If-None-Match", held), GZIP])
            assert (status, body, dict(headers)[b"etag"].decode()) == (304, b"", weak)
            assert dict(headers)[b"vary"] == b"Accept, Accept-Encoding"
            status, headers, _ = api.raw("GET", path, [("If-None-Match", held)])
            assert (status, dict(headers)[b"etag"].decode()) == (304, tag)


def test_a_small_reply_stays_as_it_is(api: Client) -> None:
    for path in ("/healthz", "/nowhere", "/BRLBTC/mms?range=20&from=2024-03-29"):
        _, headers, body = api.raw("GET", path, [GZIP])
        assert len(body) < LEAST
        assert b"content-encoding" not in dict(headers)
        assert dict(headers)[b"vary"] == b"Accept, Accept-Encoding"


def test_a_part_of_a_file_stays_as_it_is() -> None:
    headers = [(b"content-type", b"text/css"), (b"content-range", b"bytes 0-1999/9000")]
    body = b"a" * 2 * LEAST
    sent: list[Message] = []

    async def part(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 206, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(b"accept-encoding", b"gzip")]}
    asyncio.run(Compression(part)(scope, receive, send))
    assert sent[1]["body"] == body
    assert b"content-encoding" not in dict(sent[0]["headers"])
