"""GET /{pair}/chart.svg, from request to bytes; what is drawn has tests in the domain."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from app.core.market import DAY, Candle, Interval, RefusedCandle, Series
from tests.support.api import BTC, LAST, NOW, Client, FakeRuntime, load, serving
from tests.support.candles import BTC_DAILY

HOUR = Interval.HOUR
GONE = LAST - 30 * DAY
REFUSED = LAST - 60 * DAY
IMG = ("Accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8")


def loaded() -> FakeRuntime:
    """BTC daily with two holes, one of them refused, and hourly; ETH served but not loaded."""
    runtime = FakeRuntime()
    load(runtime.store, without=[GONE, REFUSED])
    load(runtime.store, Series(BTC, HOUR), last=NOW - 3600, count=400)
    with runtime.store.begin(BTC_DAILY) as unit:
        unit.quarantine([RefusedCandle(REFUSED, "The high is below the low.")], LAST)
        unit.note_absent([GONE], LAST)
        unit.finish(changed=True, now=LAST + DAY + 400)
    return runtime


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    with serving(loaded(), intervals="1d,1h,1m") as client:
        yield client


def said(client: Client, query: str = "", pair: str = "BRLBTC") -> str:
    """All texts of a picture, with its description."""
    got = client.get(f"/{pair}/chart.svg?{query}")
    assert got.status == 200, got.body
    return " ".join(ElementTree.fromstring(got.body).itertext())


def test_the_default_is_the_last_180_days_in_english(api: Client) -> None:
    got = api.get("/BRLBTC/chart.svg", IMG)
    assert got.status == 200
    assert got.header("content-type") == "image/svg+xml"
    assert got.header("x-data-missing") == "2"
    assert got.header("x-data-as-of") == "2024-03-29T00:00:00Z"
    assert got.header("x-data-stale") == "false"
    assert got.header("last-modified") == "Sat, 30 Mar 2024 00:06:40 GMT"
    assert got.body.endswith(b"</svg>\n")
    text = said(api)
    assert "2 of 180 buckets have no candle." in text
    assert "no candle: refused (1), absent (1)" in text
    assert "average of 200" in text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("range=31d", "1 of 31 buckets has no candle"),
        ("range=all", "2 of 365 buckets have no candle"),
        ("range=6h", "no bucket is missing"),
        ("range=6h&interval=1h", "no bucket is missing"),
        ("range=31d&lang=pt", "falta 1 de 31 candles"),
        ("range=30d&lang=pt-BR&windows=200,20", "média de 20 média de 200"),
        ("range=1d&windows=none", "(running) hollow: up, filled: down"),
    ],
)
def test_each_parameter_changes_the_picture(api: Client, query: str, expected: str) -> None:
    assert expected in said(api, query)


def test_a_span_is_covered_by_whole_buckets_that_end_with_the_last_closed_one(api: Client) -> None:
    for query, count in (("range=1h", 1), ("range=25h", 2), ("range=2d", 2)):
        assert "the candle of 29 March 2024 closed" in said(api, query)
        got = api.get(f"/BTC-BRL/chart.svg?windows=none&{query}").body
        assert got.count(b"Mar</text>") == count, query


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("range=30", "use hours (6h), days (30d) or all"),
        ("range=0d", "use hours (6h), days (30d) or all"),
        ("range=1w", "use hours (6h), days (30d) or all"),
        ("range=30d%0A", "use hours (6h), days (30d) or all"),
        ("range=all&interval=1m", "is 525,600 buckets of 1m; a picture shows at most 10,000: use "),
        ("range=7d&interval=1m", "use at most range=166h"),
        ("theme=blue", "use one of light, dark"),
        ("lang=de", "use one of en, pt-BR, pt"),
        ("windows=20,20", "name it once"),
        ("windows=", "use one of 20, 50, 200"),
        ("from=2024-01-01", "range=30d is a span of time"),
    ],
)
def test_an_error_names_what_is_allowed(api: Client, query: str, allowed: str) -> None:
    got = api.get(f"/BRLBTC/chart.svg?{query}")
    assert got.status == 422
    assert allowed in got.json()["detail"]
    assert query.partition("=")[0] in got.json()["detail"]


def test_a_client_that_accepts_no_picture_is_told_so(api: Client) -> None:
    for accept in ("image/svg+xml", "image/*", "*/*", ""):
        assert api.get("/BRLBTC/chart.svg", ("Accept", accept)).status == 200, accept
    refused = api.get("/BRLBTC/chart.svg", ("Accept", "application/json"))
    assert refused.status == 406
    assert "image/svg+xml" in refused.json()["detail"]


def test_pages_of_any_site_may_embed_a_picture_and_nothing_else_of_the_service(
    api: Client,
) -> None:
    name = "cross-origin-resource-policy"
    got = api.get("/BRLBTC/chart.svg")
    held = api.get("/BRLBTC/chart.svg", ("If-None-Match", got.header("etag") or ""))
    assert (held.status, held.body) == (304, b"")
    assert [each.header(name) for each in (got, held)] == ["cross-origin"] * 2
    assert api.get("/BRLBTC/chart.svg?range=x").header(name) == "same-origin"
    assert api.get("/BRLBTC/candles").header(name) == "same-origin"
    assert got.header("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"


def test_head_has_the_headers_and_gzip_is_sent_to_who_accepts_it(api: Client) -> None:
    plain = api.get("/BRLBTC/chart.svg")
    head = api.ask("HEAD", "/BRLBTC/chart.svg")
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-length") == str(len(plain.body))
    assert head.header("etag") == plain.header("etag")
    _, headers, body = api.raw("GET", "/BRLBTC/chart.svg", [("Accept-Encoding", "gzip")])
    assert (b"content-encoding", b"gzip") in headers
    assert gzip.decompress(body) == plain.body


def test_the_tag_changes_with_every_parameter_the_data_and_the_clock() -> None:
    runtime = loaded()
    queries = (
        *("", "range=30d", "interval=1h", "windows=20", "windows=none"),
        *("theme=dark", "lang=pt-BR"),
    )
    with serving(runtime, intervals="1d,1h") as client:

        def tag(query: str = "") -> str | None:
            return client.get(f"/BRLBTC/chart.svg?{query}").header("etag")

        tags = [tag(query) for query in queries]
        assert len({*tags}) == len(queries)
        assert tag("lang=pt") == tag("lang=pt-BR")
        assert [tag(query) for query in queries] == tags
        with runtime.store.begin(BTC_DAILY) as unit:  # the absence is confirmed a day later
            unit.note_absent([GONE], LAST + DAY)
            unit.finish(changed=False, now=NOW)
        confirmed = tag()
        with runtime.store.begin(BTC_DAILY) as unit:
            unit.finish(changed=True, now=NOW + 1)  # a change of what is not shown
        changed = tag()
        runtime.now = NOW + DAY
        assert len({tags[0], confirmed, changed, tag()}) == 4


def test_a_revised_candle_is_marked() -> None:
    runtime = loaded()
    old = Candle(LAST, 1, 1, 1, 1, 1)
    with runtime.store.begin(BTC_DAILY) as unit:
        unit.note_revised([(old, Candle(LAST, 1, 2, 1, 2, 1))])
        unit.finish(changed=True, now=NOW)
    with serving(runtime) as client:
        assert "revised (1)" in said(client)


def test_what_is_overdue_is_shaded_and_said_and_what_has_just_closed_is_not() -> None:
    runtime = loaded()
    with serving(runtime) as client:
        runtime.now = LAST + 2 * DAY + 60
        assert "no candle: refused (1), absent (1)" in said(client)
        assert "stale" not in said(client)
        runtime.now = LAST + 2 * DAY + 2 * 3600
        assert "no candle: refused (1), absent (1), never fetched (1)" in said(client)
        assert "stale: newer candles are due" in said(client)


def test_a_series_without_data_is_a_picture_that_says_why(api: Client) -> None:
    got = api.get("/BRLETH/chart.svg")
    assert (got.status, got.header("x-data-missing")) == (200, "180")
    assert (got.header("x-data-reason") or "x") in said(api, pair="BRLETH")
    assert "Nenhum candle neste período." in said(api, "lang=pt", pair="BRLETH")
