"""What the edge lets in: for which host, of whom, how often; and what it says to the others."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from structlog.testing import capture_logs

from app.api import errors
from app.core.ports import Quota
from app.core.setting_edge import Rate
from app.db.cache.averages import CachedAverageStore, block_memory
from app.main import create_app
from app.testing.series import MemorySeriesStore
from tests.support.api import NOW, Answer, FakeRuntime, load, serving, settings

READ = "/BRLBTC/mms?range=20"
ME = {"client": ("192.0.2.7", 4711)}


def limited() -> FakeRuntime:
    """A runtime whose reads come from memory, at the beginning of a minute."""
    store = MemorySeriesStore()
    load(store)
    cached = CachedAverageStore(store, block_memory(10**9), monotonic=lambda: 50.0)
    return FakeRuntime(store, now=NOW // 60 * 60, averages=cached, warm=cached)


def test_each_reply_says_how_many_requests_are_left_wherever_it_comes_from() -> None:
    with serving(limited(), rate_limit="600/minute") as api:
        got = [
            api.get(READ),  # from the store
            api.get(READ),  # from memory
            api.ask("HEAD", READ),
            api.get(READ, ("If-None-Match", "*")),
            api.get("/BRLXYZ/mms?range=20"),
            api.get("/nowhere"),
            api.ask("DELETE", "/pairs"),
        ]
    assert [each.status for each in got] == [200, 200, 200, 304, 400, 404, 405]
    assert {each.header("ratelimit-policy") for each in got} == {'"default";q=600;w=60'}
    told = [each.header("ratelimit") for each in got]
    assert told == [f'"default";r={left};t=60' for left in range(599, 592, -1)]


def test_a_client_beyond_its_rate_is_refused_in_one_line_and_nobody_else() -> None:
    runtime = limited()
    with (
        serving(runtime, rate_limit="2/minute", trusted_proxies="127.0.0.1") as api,
        capture_logs() as lines,
    ):

        def ask(address: str, target: str = READ) -> Answer:
            return api.get(target, ("X-Forwarded-For", address), ("X-Request-ID", "abc"))

        assert [ask("198.51.100.1").status for _ in range(3)] == [200, 200, 429]
        refused = ask("198.51.100.1", "/BRLXYZ/mms")
        assert [ask("198.51.100.2").status for _ in range(2)] == [200, 200]
        assert ask("2001:db8::1").status == ask("2001:db8::2").status == 200
        assert ask("2001:db8::3").status == 429
        assert api.get("/healthz", ("X-Forwarded-For", "198.51.100.1")).status == 200
        runtime.now += int(refused.header("retry-after") or 0) - 1
        assert ask("198.51.100.1").status == 429
        runtime.now += 1
        assert ask("198.51.100.1").status == 200
    assert refused.header("content-type") == "application/problem+json"
    assert refused.header("x-content-type-options") == "nosniff"
    assert refused.header("x-request-id") == "abc"
    assert refused.header("retry-after") == "90"
    assert refused.header("ratelimit") == '"default";r=0;t=90'
    body = refused.json()
    assert (body["code"], body["status"], body["request_id"]) == ("rate-limited", 429, "abc")
    assert "198.51.100.1" in body["detail"]
    assert "2/minute" in body["detail"]
    assert "90 s" in body["detail"]
    assert {line["log_level"] for line in lines} == {"info"}
    written = [line["client"] for line in lines if line["status"] == 429]
    assert written == ["198.51.100.1", "198.51.100.1", "2001:db8::3", "198.51.100.1"]


def test_requests_that_collect_a_price_have_a_rate_of_their_own_beside_the_other() -> None:
    with serving(limited(), rate_limit="4/minute", rate_limit_collect="2/minute") as api:
        got = [api.ask("POST", "/collect-once/NONE") for _ in range(3)]
        read = [api.get(READ) for _ in range(3)]
        last = api.ask("POST", "/collect-once/NONE")
    assert [each.status for each in got] == [400, 400, 429]
    assert got[0].header("ratelimit-policy") == '"default";q=4;w=60, "collect";q=2;w=60'
    assert got[0].header("ratelimit") == '"default";r=3;t=60, "collect";r=1;t=60'
    # A refused one counts for neither.
    assert got[2].header("ratelimit") == '"default";r=2;t=60, "collect";r=0;t=90'
    assert [each.status for each in read] == [200, 200, 429]
    assert last.header("ratelimit") == '"default";r=0;t=75, "collect";r=0;t=90'
    assert last.header("retry-after") == "90"


def test_a_rate_may_be_off() -> None:
    with serving(limited(), rate_limit="off", rate_limit_collect="1/minute") as api:
        got = [api.get(READ), *(api.ask("POST", "/collect-once/NONE") for _ in range(2))]
    assert [each.status for each in got] == [200, 400, 429]
    assert [each.header("ratelimit-policy") for each in got] == [None, *['"collect";q=1;w=60'] * 2]


def test_another_host_is_refused_and_health_checks_are_not() -> None:
    long = ("Host", 'x"\\\xe9' + 60_000 * "y")
    evil = ("Host", "evil.example:80")
    with serving(limited(), allowed_hosts="api.example.com", root_path="/api") as api:
        got = [api.get(READ, host) for host in (evil, long)]
        assert api.get(READ, ("Host", "API.example.com:443")).status == 200
        for path in ("/health", "/healthz", "/readyz"):
            assert api.get(path, evil).status == api.get(f"/api{path}", evil).status == 200
        assert api.raw("GET", READ)[0] == 200  # without a Host
    assert [each.status for each in got] == [421, 421]
    assert [each.json()["code"] for each in got] == ["misdirected"] * 2
    assert "'evil.example:80'" in got[0].json()["detail"]
    assert "ALLOWED_HOSTS" in got[0].json()["detail"]
    assert len(got[1].body) < 500
    assert got[1].body.isascii()


@dataclass
class Brittle:
    """A RequestRate with a mistake."""

    rate: Rate = field(default_factory=lambda: Rate(1, 1))

    def take(self, client: str) -> Quota:
        raise ZeroDivisionError(client)

    left = take


class BrittleRuntime(FakeRuntime):
    def _rate(self, name: str, rate: Any) -> Any:
        return Brittle()


def test_a_mistake_of_ours_lets_nothing_in_and_is_logged_once() -> None:
    with serving(BrittleRuntime()) as api, capture_logs() as lines:
        got = api.get(READ)
        assert api.get("/healthz").status == 200
    assert (got.status, got.json()["code"]) == (500, "internal")
    assert [line["event"] for line in lines[:2]] == ["admission_crashed", "http_request"]


def test_a_server_that_sends_whole_replies_gets_refusals_and_reads_at_once() -> None:
    sent: list[tuple[int, bytes, bytes]] = []
    state: dict[str, Any] = {}
    app = create_app(settings(rate_limit="3/minute"), limited().build)

    def ask(host: bytes, method: str = "GET") -> bool:
        scope = {
            **ME,
            "type": "http",
            "method": method,
            "path": "/BRLBTC/mms",
            "query_string": b"range=20",
            "headers": [(b"host", host)],
            "state": dict(state),
        }
        return app.answer_now(scope, lambda *reply: sent.append(reply))

    async def run() -> None:
        async with LifespanManager(app) as manager:
            state.update(manager._state)
            assert not ask(b"127.0.0.1")  # FastAPI has to answer
            context = state["context"]
            series = context.series("BRLBTC", "1d")
            context.runtime.averages.read(series, 20, NOW - 400 * 86_400, NOW)
            assert ask(b"127.0.0.1")
            assert ask(b"evil.example")
            assert ask(b"127.0.0.1", "HEAD")
            assert ask(b"127.0.0.1")

    asyncio.run(run())
    assert [status for status, _, _ in sent] == [200, 421, 200, 429]
    for _, head, body in sent:
        lines = head.split(b"\r\n")
        assert b"x-content-type-options: nosniff" in lines
        assert [line for line in lines if line.startswith(b"x-request-id: ")]
        length = int(next(line[16:] for line in lines if line.startswith(b"content-length: ")))
        assert len(body) in (0, length)
    assert b'ratelimit: "default";r=0;t=60\r\n' in sent[2][1]
    assert b"\r\nretry-after: 80\r\n" in b"\r\n" + sent[3][1]


def test_what_the_server_refuses_itself_is_a_problem_with_its_line_and_its_id() -> None:
    app = create_app(settings(), limited().build)
    replies = []

    async def run() -> None:
        async with LifespanManager(app) as manager:
            state = manager._state
            headers = [(b"retry-after", b"1")]
            peer = ("::ffff:192.0.2.7", 4711)
            replies.append(app.refuse(state, peer, errors.MALFORMED, "No.", headers=headers))
            app.refuse(state, None, errors.MALFORMED, "No.", method=b"GET", target=b"/\xff?a=1")

    with capture_logs() as lines:
        asyncio.run(run())
    status, head, body = replies[0]
    problem = json.loads(body)
    assert status == 400
    assert (problem["code"], problem["detail"]) == ("bad-request", "No.")
    assert head.decode().split("\r\n") == [
        "retry-after: 1",
        f"content-length: {len(body)}",
        "content-type: application/problem+json",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-store",
        "vary: Accept, Accept-Encoding",
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        f"x-request-id: {problem['request_id']}",
        "",
    ]
    for line in lines:
        assert line.pop("duration_ms") >= 0
    expected = {
        "event": "http_request",
        "log_level": "info",
        "method": "-",
        "path": "-",
        "query": "",
        "status": 400,
        "bytes": len(body),
    }
    read = {"method": "GET", "path": "/\ufffd", "query": "a=1", "client": "127.0.0.1"}
    assert lines == [expected | {"client": "192.0.2.7"}, expected | read]


@pytest.mark.parametrize("target", ["/" + "a" * 60_000, "/%0A" + "%61" * 20_000])
def test_a_long_path_is_a_short_line(target: str) -> None:
    with serving(FakeRuntime()) as api, capture_logs() as lines:
        assert api.get(target).status == 404
    assert lines[0]["path"] == target[:200] + "…"
