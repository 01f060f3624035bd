"""Nothing a client sends gives a 5xx."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Client, FakeRuntime, load, serving

METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "DELETE", "OPTIONS", "X"])
NAMES = st.sampled_from(
    ["from", "to", "from_ts", "to_ts", "range", "range_days", "interval", "windows", "x", ""]
)
VALUES = st.one_of(
    st.sampled_from(["20", "50", "200", "1d", "1m", "0", "-1", "2024-03-29", "20,50", "1e9"]),
    st.integers(-(10**30), 10**30).map(str),
    st.dates().map(str),
    st.datetimes().map(str),
    st.text(max_size=30),
)
PATHS = st.one_of(
    st.sampled_from(
        ["/BRLBTC/mms", "/BTC-BRL/candles", "/pairs", "/health", "/readyz", "/docs", "/", ""]
    ),
    st.text(max_size=40).map(lambda text: f"/{text}/mms"),
    st.text(max_size=80).map(lambda text: f"/{text}"),
    st.text(max_size=80).map(lambda text: f"/static-offline-docs/{text}"),
)
QUERIES = st.one_of(
    st.binary(max_size=120),
    st.lists(st.tuples(NAMES, VALUES), max_size=4).map(
        lambda items: "&".join(f"{k}={v}" for k, v in items).encode("utf-8", "surrogatepass")
    ),
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["X-Request-ID", "Host", "Accept", "If-None-Match", "Range", "Cookie"]),
        st.text(st.characters(max_codepoint=255), max_size=30),
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    runtime = FakeRuntime()
    load(runtime.store, count=60)
    with serving(runtime, access_log="off") as client:
        yield client


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(method=METHODS, path=PATHS, query=QUERIES, headers=HEADERS)
def test_no_request_gives_a_server_error(
    api: Client, method: str, path: str, query: bytes, headers: list[tuple[str, str]]
) -> None:
    got = api.send(method, path, path.encode("utf-8", "surrogatepass"), query, headers)
    assert 200 <= got.status < 500
    if got.status >= 400 and method != "HEAD" and not path.startswith("/static"):
        problem = json.loads(got.body)
        assert problem["status"] == got.status
        assert problem["detail"]


@settings(max_examples=300, deadline=None)
@given(items=st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_a_reply_to_a_made_up_question_is_a_series_or_a_problem(
    api: Client, items: list[tuple[str, str]]
) -> None:
    query = "&".join(f"{name}={value}" for name, value in [("range", "20"), *items])
    got = api.send("GET", "/BRLBTC/mms", b"/BRLBTC/mms", query.encode("utf-8", "surrogatepass"))
    if got.status != 200:
        assert got.status in (400, 422)
        return
    assert all(set(row) == {"timestamp", "mms"} for row in json.loads(got.body))
    assert int(got.header("x-data-missing") or "-1") >= 0
