"""What happens to every request: its id, its line in the log, its problem when something fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from app.core.errors import StoreUnavailable, UnrepresentablePrice
from app.core.market import AverageSlice, Series, Window
from app.main import create_app
from app.testing.series import MemorySeriesStore
from tests.support.api import Client, FakeRuntime, serving, settings, started

READ = "/BRLBTC/mms?range=20"


@pytest.fixture(scope="module")
def api() -> Iterator[Client]:
    with serving(FakeRuntime()) as client:
        yield client


class BrokenStore(MemorySeriesStore):
    """A store whose reads of averages raise what a test chooses."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        raise self.error


def test_a_request_keeps_the_id_that_its_client_gave_unless_it_could_do_harm(api: Client) -> None:
    for given in ("ABC.def_9-8", "x" * 64):
        assert api.get(READ, ("X-Request-ID", given)).header("x-request-id") == given
    replaced = set()
    for given in ("", "x" * 65, "a b", "é", 'a"b', "../x\x7f"):
        found = api.get(READ, ("X-Request-ID", given)).header("x-request-id") or ""
        assert re.fullmatch("[0-9a-f]{16}", found)
        replaced.add(found)
    assert len(replaced) == 6


def test_a_problem_has_the_members_that_programs_read(api: Client) -> None:
    got = api.get("/nowhere", ("X-Request-ID", "abc"))
    assert got.header("x-content-type-options") == "nosniff"
    problem = got.json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert problem["type"] == f"urn:mms-api:error:{problem['code']}"
    assert problem["status"] == got.status
    assert problem["request_id"] == got.header("x-request-id") == "abc"
    assert got.header("content-type") == "application/problem+json"


@pytest.mark.parametrize(
    "target",
    [
        "/BRLBTC",
        "/BRLBTC/mms/",
        "/BTC%2FBRL/mms?range=20",
        "/docs/%2e%2e/core.py",
        "/%FF%FE",
        "/" + "a/" * 3000,
        "/nowhere?x=\udcff",
    ],
)
def test_what_is_not_there_is_a_problem_that_leads_on(api: Client, target: str) -> None:
    got = api.get(target)
    assert (got.status, got.json()["code"]) == (404, "not-found")
    assert len(got.body) < 1000
    assert "/docs" in got.json()["detail"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/BRLBTC/mms"), ("FOO", "/docs")])
def test_a_wrong_method_is_told_the_right_ones(api: Client, method: str, path: str) -> None:
    got = api.ask(method, path)
    assert (got.status, got.json()["code"]) == (405, "method-not-allowed")
    assert got.header("allow") == "GET, HEAD"
    assert "GET, HEAD" in got.json()["detail"]


@pytest.mark.parametrize("path", [READ, "/docs", "/nowhere"])
def test_head_is_get_without_a_body(api: Client, path: str) -> None:
    get, head = (api.ask(method, path, ("X-Request-ID", "abc")) for method in ("GET", "HEAD"))
    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")
    assert head.header("content-length") is not None


def test_each_request_is_one_line_in_the_log(api: Client) -> None:
    with capture_logs() as lines:
        api.get(READ, ("X-Request-ID", "abc"))
    [line] = lines
    assert line.pop("duration_ms") > 0
    assert line == {
        "event": "http_request",
        "log_level": "info",
        "method": "GET",
        "path": "/BRLBTC/mms",
        "query": "range=20",
        "status": 200,
        "bytes": 3,
        "client": "127.0.0.1",
    }


def test_the_path_is_logged_as_it_came_and_the_query_up_to_a_length_of_200(api: Client) -> None:
    with capture_logs() as lines:
        api.get("/a%0Ab%1B[31m")
    assert lines[0]["path"] == "/a%0Ab%1B[31m"
    with capture_logs() as lines:
        for query in ("", "a=%0A&b=1", "x=" + 198 * "y", "x=" + 199 * "y", "x=\udcff"):
            api.get(f"/healthz?{query}")
    logged = [line["query"] for line in lines]
    assert logged == ["", "a=%0A&b=1", "x=" + 198 * "y", "x=" + 198 * "y" + "…", "x=\ufffd"]


def test_the_line_of_a_request_has_no_secret_of_its_client(api: Client) -> None:
    with capture_logs() as lines:
        api.get("/BRLBTC/mms?range=20&api%5Fkey=sesame", ("Authorization", "Bearer sesame"))
        api.get("/history/BTC%3Ftoken=sesame")
        api.get("/history/BTC?x=" + 185 * "y" + "&password=sesame")
    assert [(line["path"], line["query"][-16:]) for line in lines] == [
        ("/BRLBTC/mms", "20&api%5Fkey=***"),
        ("/history/BTC%3Ftoken=***", ""),
        ("/history/BTC", "yy&password=***…"),
    ]
    assert "sesame" not in str(lines)


def test_the_access_line_can_be_switched_off() -> None:
    with serving(FakeRuntime(), access_log="off") as api, capture_logs() as lines:
        assert api.get(READ).status == 200
    assert lines == []


@pytest.mark.parametrize(
    ("error", "status", "code", "event"),
    [
        (StoreUnavailable("secret at 10.1.2.3"), 503, "database-unavailable", "request_failed"),
        (UnrepresentablePrice("secret 1e99"), 500, "internal", "request_failed"),
        (ZeroDivisionError("secret of app.db.stores.series"), 500, "internal", "request_crashed"),
    ],
)
def test_an_error_of_ours_gives_nothing_away_and_is_in_the_log_with_the_requests_id(
    error: Exception, status: int, code: str, event: str
) -> None:
    merge: Any = structlog.contextvars.merge_contextvars
    with (
        serving(FakeRuntime(store=BrokenStore(error))) as api,
        capture_logs([merge]) as lines,
    ):
        got = api.get(READ, ("X-Request-ID", "abc"))
        assert api.get("/BRLBTC/candles", ("X-Request-ID", "def")).status == 200
    assert (got.status, got.json()["code"], got.json()["request_id"]) == (status, code, "abc")
    assert b"secret" not in got.body
    assert [(line["event"], line["request_id"]) for line in lines] == [
        (event, "abc"),
        ("http_request", "abc"),
        ("http_request", "def"),
    ]
    assert bool(lines[0].get("exc_info")) is (status == 500)
    assert lines[1]["status"] == status
    assert "request_id" not in structlog.contextvars.get_contextvars()


def test_equal_failures_have_one_line_in_the_log_each_minute() -> None:
    store = BrokenStore(StoreUnavailable("gone"))
    with serving(FakeRuntime(store=store), access_log="off") as api, capture_logs() as lines:
        assert [api.get(READ).status for _ in range(3)] == [503] * 3
    assert [(line["event"], line["times"]) for line in lines] == [("request_failed", 1)]


def test_a_refusal_of_the_framework_is_a_problem_too() -> None:
    app = create_app(settings(), FakeRuntime().build)

    def refuse() -> None:
        raise HTTPException(413, "Too much")

    app.api.add_api_route("/refuse", refuse)
    with started(app) as api:
        got = api.get("/refuse")
    assert (got.status, got.json()["detail"]) == (413, "Too much.")
    assert re.fullmatch("[a-z-]+", got.json()["code"])
