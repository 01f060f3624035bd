"""Rows in every format, the first or last so many of them, and the way to the next ones."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin

import pytest

from app.core.market import DAY
from tests.support.api import LAST, Answer, Client, FakeRuntime, load, serving

AVERAGES = "/BRLBTC/mms?range=50&from=2023-01-01"
CANDLES = "/BRLBTC/candles?windows=20,200&from=2023-01-01"
TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
    "columns": "application/vnd.mms.columns+json",
}


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    """BTC daily with holes; ETH served but not loaded."""
    runtime = FakeRuntime()
    gone = [LAST - days * DAY for days in (3, 30, 31, 32, 90, 300, 420)]
    load(runtime.store, without=gone)
    with serving(runtime) as client:
        yield client


def rows_of(got: Answer) -> list[dict[str, Any]]:
    """The rows of a reply in any format, with exact numbers."""
    assert got.status == 200, got.body
    kind = {said: name for name, said in TYPES.items()}[got.header("content-type") or ""]
    text = got.body.decode()
    if kind == "json":
        rows: list[dict[str, Any]] = got.json()
        return rows
    if kind == "ndjson":
        return [json.loads(line, parse_float=Decimal) for line in text.splitlines()]
    if kind == "columns":
        columns = got.json()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [
        {name: _number(name, cell) for name, cell in row.items()}
        for row in csv.DictReader(text.splitlines())
    ]


def _number(name: str, cell: str) -> int | Decimal | None:
    if name == "timestamp":
        return int(cell)
    return Decimal(cell) if cell else None


@pytest.mark.parametrize("target", [AVERAGES, CANDLES])
@pytest.mark.parametrize("name", TYPES)
def test_each_format_has_the_same_rows_however_it_is_asked_for(
    api: Client, target: str, name: str
) -> None:
    plain = api.get(target)
    asked = [
        api.get(f"{target}&format={name}", ("Accept", "text/html")),
        api.get(target, ("Accept", f"{TYPES[name].partition(';')[0]}, */*;q=0.1")),
    ]
    if name == "csv":
        asked.append(api.get(target.replace("?", ".csv?")))
    assert [rows_of(each) for each in asked] == [rows_of(plain)] * len(asked)
    told = ("x-data-as-of", "x-data-stale", "x-data-missing", "last-modified", "vary")
    for each in asked:
        assert [each.header(part) for part in told] == [plain.header(part) for part in told]


@pytest.mark.parametrize("target", [AVERAGES, CANDLES])
def test_every_format_is_a_representation_with_a_tag_of_its_own(api: Client, target: str) -> None:
    variants = [
        *(f"&format={name}" for name in TYPES),
        "&format=csv&time=iso",
        "&format=csv&locale=pt-BR",
        "&order=desc",
        "&limit=5",
        "&limit=5&order=desc",
        "&limit=6",
    ]
    tags = []
    for variant in variants:
        got = api.get(target + variant)
        tags.append(got.header("etag") or "")
        again = api.get(target + variant, ("If-None-Match", tags[-1]))
        assert (again.status, again.body) == (304, b"")
        kept = ("etag", "link", "x-data-missing", "x-data-as-of")
        assert [again.header(each) for each in kept] == [got.header(each) for each in kept]
    assert len(set(tags)) == len(variants)
    assert tags[0] == api.get(target).header("etag")


@pytest.mark.parametrize("name", TYPES)
def test_every_format_is_compressed_for_a_client_that_accepts_gzip(api: Client, name: str) -> None:
    plain = api.get(f"{CANDLES}&format={name}")
    packed = api.get(f"{CANDLES}&format={name}", ("Accept-Encoding", "gzip"))
    assert packed.header("content-encoding") == "gzip"
    assert packed.header("etag") == f"W/{plain.header('etag')}"
    assert int(packed.header("content-length") or "") < len(plain.body) / 2
    assert packed.body == plain.body  # which httpx has decompressed


@pytest.mark.parametrize(
    ("target", "limit", "order", "form"),
    [
        *itertools.product([AVERAGES, CANDLES], [1, 7, 10_000], ["asc", "desc"], ["json"]),
        (CANDLES, 50, "desc", "csv"),
        (AVERAGES, 50, "asc", "ndjson"),
        (AVERAGES.replace("?", ".csv?"), 100, "desc", None),
        # Its first bucket is 20131200 in unix seconds, which look like a date.
        (AVERAGES.replace("2023-01-01", "1970-08-22"), 200, "desc", "columns"),
    ],
)
def test_pages_that_are_followed_to_the_end_are_the_whole(
    api: Client, target: str, limit: int, order: str, form: str | None
) -> None:
    whole = api.get(target)
    expected = rows_of(whole)[:: 1 if order == "asc" else -1]
    address = f"{target}&limit={limit}&order={order}" + (f"&format={form}" if form else "")
    rows, missing, pages = [], 0, 0
    while address:
        got = api.get(address)
        page = rows_of(got)
        assert len(page) <= limit
        rows += page
        missing += int(got.header("x-data-missing") or "")
        pages += 1
        link = got.header("link")
        assert (link is None) == (len(rows) == len(expected))
        if link:
            assert link.endswith('>; rel="next"')
        address = urljoin(address, link[1:].partition(">")[0]) if link else ""
    assert rows == expected
    assert pages == -(-len(expected) // limit)
    assert missing == int(whole.header("x-data-missing") or "")


def test_the_last_so_many_are_those_that_exist_beyond_every_hole(api: Client) -> None:
    got = api.get("/BRLBTC/mms?range=20&limit=3&order=desc")
    # The day that is missing takes its average and the later ones with it.
    last = [row["timestamp"] for row in rows_of(got)]
    assert last == [LAST - days * DAY for days in (4, 5, 6)]
    assert got.header("x-data-missing") == "4"
    newest = rows_of(api.get("/BRLBTC/candles?limit=2&order=desc"))
    assert [row["timestamp"] for row in newest] == [LAST, LAST - DAY]


def test_csv_is_written_as_its_reader_needs_it(api: Client) -> None:
    target = f"/BRLBTC/candles.csv?windows=200&from={LAST}"
    plain, brazil = (
        api.get(target + more).body.decode() for more in ("", "&time=iso&locale=pt-BR")
    )
    head, row, end = plain.split("\n")
    assert (head, end) == ("timestamp,open,high,low,close,volume,mms_200", "")
    assert row.startswith(f"{LAST},35")
    assert row.endswith(",3.0,")
    moment, *numbers = row.split(",")
    assert moment == str(LAST)
    cells = ";".join(["2024-03-29T00:00:00Z", *(number.replace(".", ",") for number in numbers)])
    assert brazil == f"{head.replace(',', ';')}\n{cells}\n"
    saved = api.get("/BTC-BRL/mms.csv?range=20").header("content-disposition")
    assert saved == 'attachment; filename="BRLBTC-1d-mms-20.csv"'


def test_without_rows_csv_has_its_header_row_and_the_reason(api: Client) -> None:
    got = api.get("/BRLETH/mms.csv?range=20")
    assert (got.status, got.body) == (200, b"timestamp,mms\n")
    assert "Nothing is stored for BRLETH" in (got.header("x-data-reason") or "")


@pytest.mark.parametrize("target", [AVERAGES, CANDLES])
def test_a_client_that_accepts_no_format_is_told_what_there_is(api: Client, target: str) -> None:
    got = api.get(target, ("Accept", "text/html"))
    assert (got.status, got.json()["code"]) == (406, "not-acceptable")
    for part in (*(said.partition(";")[0] for said in TYPES.values()), ", ".join(TYPES)):
        assert part in got.json()["detail"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=0", "limit='0' is no whole number from 1 to 10,000."),
        ("limit=10001", "from 1 to 10,000"),
        ("limit=-1", "from 1 to 10,000"),
        ("limit=", "from 1 to 10,000"),
        ("order=up", "order='up' is unknown: use one of asc, desc."),
        ("format=xml", "format='xml' is unknown: use one of json, csv, ndjson, columns."),
        ("time=iso", "time belongs to CSV, and this reply is json: add format=csv"),
        ("format=columns&locale=pt-BR", "locale belongs to CSV, and this reply is columns"),
        ("format=csv&time=unix", "time='unix' is unknown: use one of epoch, iso."),
        ("format=csv&locale=pt", "locale='pt' is unknown: use one of en, pt-BR."),
    ],
)
def test_what_no_format_has_is_refused_with_what_is_allowed(
    api: Client, query: str, said: str
) -> None:
    for target in (AVERAGES, CANDLES):
        got = api.get(f"{target}&{query}")
        assert (got.status, got.json()["code"]) == (422, "invalid-parameter")
        assert said in got.json()["detail"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mms.csv?range=20&format=json", "(this address is always CSV)"),
        ("mms?windows=20,50", "(range=20 is one window; candles?windows=20,50 has several)"),
        ("candles?range=20", "(windows=20 puts that average beside each candle)"),
    ],
)
def test_a_parameter_of_a_similar_request_leads_on(api: Client, target: str, said: str) -> None:
    got = api.get(f"/BRLBTC/{target}")
    assert (got.status, got.json()["code"]) == (422, "unknown-parameter")
    assert said in got.json()["detail"]


def test_only_the_page_that_begins_before_all_data_says_so(api: Client) -> None:
    last = api.get("/BRLBTC/candles?from=2011-01-01&limit=3&order=desc")
    first = api.get("/BRLBTC/candles?from=2011-01-01&limit=3")
    assert last.header("x-data-reason") is None
    assert "is stored from" in (first.header("x-data-reason") or "")
