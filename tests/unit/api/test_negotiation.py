"""Which format a client's Accept gets, and who is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.negotiation import JSON_ALONE, accepted
from app.domain.tables import Format
from tests.support.api import Client, FakePrices, FakeRuntime, serving

JSON, CSV, NDJSON, COLUMNS = Format.JSON, Format.CSV, Format.NDJSON, Format.COLUMNS

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "choice"),
    [
        (None, JSON),
        (b"", JSON),
        (b"*/*", JSON),
        (b"application/*", JSON),
        (b"application/json", JSON),
        (b"Application/JSON; charset=utf-8", JSON),
        (BROWSER, JSON),
        (b"text/csv", CSV),
        (b"text/*", CSV),
        (b"text/csv, */*;q=0.1", CSV),
        (b"text/csv;q=0.5, application/json;q=0.4", CSV),
        (b"text/csv ; header=present ; q=1", CSV),
        (b"application/json;q=0, */*", CSV),
        (b"application/x-ndjson", NDJSON),
        (b"application/vnd.mms.columns+json", COLUMNS),
        (b"text/csv, application/json", JSON),
        (b"text/html, text/csv" + b" " * 300, CSV),
        (b"text/html" + b",text/html" * 48 + b",text/csv", CSV),
        (b"text/html" + b",text/html" * 49 + b",text/csv", None),
        (b"text/html", None),
        (b"*/*;q=0", None),
        (b"application/json;q=0", None),
        (b"application/json;q=2", None),
        (b"application/json;q=much", None),
        (b"json", None),
        (b",;q=1, \xff", None),
    ],
)
def test_the_preferred_format_is_chosen_and_none_where_none_is_accepted(
    accept: bytes | None, choice: Format | None
) -> None:
    assert accepted(accept) is choice


def test_a_reply_that_is_always_json_goes_to_whoever_accepts_json() -> None:
    accepts = [b"text/csv", b"text/csv, */*;q=0.1", BROWSER, b"text/csv, application/*"]
    assert [accepted(each, JSON_ALONE) for each in accepts] == [None, JSON, JSON, JSON]


JSON_READS = (
    *("/pairs", "/BRLBTC/gaps", "/BRLBTC/quarantine", "/BRLBTC/revisions", "/BRLBTC/anomalies"),
    *("/BRLBTC/latest", "/latest"),
    *("/history/BTC", "/anomaly/BTC", "/supported-symbols"),
)


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    with serving(FakeRuntime(), cors_origins="https://app.example.com") as client:
        yield client


@pytest.mark.parametrize("path", JSON_READS)
def test_who_does_not_accept_json_is_refused_where_there_is_nothing_else(
    api: Client, path: str
) -> None:
    page = ("Origin", "https://app.example.com")
    for method in ("GET", "HEAD"):
        refused = api.ask(method, path, ("Accept", "text/csv"), page)
        assert (refused.status, refused.header("content-type")) == (406, "application/problem+json")
        assert refused.header("access-control-allow-origin") == page[1]
    problem = api.get(path, ("Accept", "text/csv"), ("If-None-Match", "*")).json()
    assert problem["code"] == "not-acceptable"
    assert "always application/json" in problem["detail"]
    assert api.get(path, ("Accept", "text/csv"), ("Accept", "application/json;q=0.1")).status == 200


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=300)))
def test_whatever_stands_in_accept_the_reply_is_json_or_406(api: Client, lines: list[str]) -> None:
    got = api.get("/supported-symbols", *(("Accept", line.strip()) for line in lines))
    assert got.status in (200, 406)
    assert got.json()


def test_nothing_is_collected_for_who_cannot_take_the_reply() -> None:
    source = FakePrices({"BTC": 6 * 10**12})
    with serving(FakeRuntime(price_source=source)) as api:
        assert api.ask("POST", "/collect-once/BTC", ("Accept", "text/html")).status == 406
        assert source.asked == []
        assert api.ask("POST", "/collect-once/BTC", ("Accept", "*/*")).status == 200
