"""The door to a host against hosts that misbehave in every way a socket allows."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from app.core.errors import UpstreamBlocked, UpstreamNonsense, UpstreamUnavailable
from app.sources.retry import Bounds, RetryPolicy
from tests.support.loopback import (
    JSON_HEAD,
    PATIENT,
    SHORT_DEADLINE,
    TRICKLES,
    ask,
    crowd_before,
    door,
    nothing_left_behind,
    reset_after,
    say_nothing,
    send,
    serving,
    trickle,
    whole,
)
from tests.support.patience import until


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Every test gives its threads and sockets back, however the host behaved."""
    with nothing_left_behind():
        yield


@pytest.mark.parametrize("name", TRICKLES)
def test_a_host_that_trickles_its_reply_cannot_hold_a_request_beyond_the_deadline(
    name: str,
) -> None:
    with (
        serving(TRICKLES[name]) as host,
        pytest.raises(UpstreamUnavailable, match=r"no complete reply within 0\.2 s"),
    ):
        ask(host.url, SHORT_DEADLINE)


def test_the_policy_s_total_bounds_the_last_attempt_too() -> None:
    with (
        serving(TRICKLES["body with a length"]) as host,
        door(host.url, PATIENT, RetryPolicy(total=0.2)) as http,
        pytest.raises(UpstreamUnavailable, match=r"no complete reply within 0\."),
    ):
        http.get_json("candles", {})


def test_a_host_that_accepts_and_says_nothing_is_left_after_the_read_time_out() -> None:
    with serving(say_nothing) as host, pytest.raises(UpstreamUnavailable, match="timed out"):
        ask(host.url, Bounds(connect=60.0, read=0.2, deadline=60.0))


def test_a_connection_that_stands_too_late_is_closed_without_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with crowd_before(address), pytest.raises(UpstreamUnavailable, match=r"within 0\.2 s"):
            ask(f"http://127.0.0.1:{address[1]}", SHORT_DEADLINE)
        # The crowd is gone; the host now accepts whoever is still knocking, us at last.
        listener.settimeout(0.5)
        heard = []

        def gone() -> bool:
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(60.0)
                    heard.append(connection.recv(1_000))
            return all(thread.name != "upstream-exchange" for thread in threading.enumerate())

        until(gone)
    assert set(heard) == {b""}


CUTS = {
    "before a word": send(),
    "in the headers": send(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "in a whole-looking body with a length": send(JSON_HEAD, b"Content-Length: 90\r\n\r\n[]"),
    "between chunks": send(JSON_HEAD, b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n"),
    "in a body of HTTP/1.0": send(b'HTTP/1.0 200 OK\r\n\r\n{"t":["12'),
    "in a packed body": send(
        JSON_HEAD, b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b'{"t":[1,2,3]}')[:-9]
    ),
    "by a reset before a word": reset_after(),
    "by a reset in the body": reset_after(JSON_HEAD, b"Content-Length: 90\r\n\r\n[1"),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_reply_that_is_cut_is_asked_for_again(name: str) -> None:
    policy = RetryPolicy(attempts=3, base=0.001)
    with serving(CUTS[name], CUTS[name], whole(b"[1]")) as host, capture_logs() as logs:
        with door(host.url, policy=policy) as http:
            assert http.get_json("candles", {}).data == [1]
        assert len(host.requests) == 3
    assert [line["attempt"] for line in logs] == [1, 2]


def test_a_body_without_end_is_asked_for_once_and_named() -> None:
    with serving(trickle(JSON_HEAD + b"\r\n", b"[" * 50_000)) as host:
        bounds = Bounds(deadline=60.0, body=100_000)
        with (
            door(host.url, bounds, RetryPolicy()) as http,
            pytest.raises(UpstreamNonsense, match="longer than 100000"),
        ):
            http.get_json("candles", {})
        assert len(host.requests) == 1


def test_a_refusal_is_final_though_its_page_breaks_off() -> None:
    with serving(send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 900\r\n\r\n<ht")) as host:
        with door(host.url, policy=RetryPolicy()) as http, pytest.raises(UpstreamBlocked):
            http.get_json("candles", {})
        assert len(host.requests) == 1


def test_a_host_elsewhere_is_asked_through_the_proxy_and_this_machine_never_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(whole(b'"proxy"')) as proxy, serving(whole(b'"direct"')) as host:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert ask("http://exchange.example/v4") == "proxy"
        assert proxy.requests[0].startswith(b"GET http://exchange.example/v4/candles?")
        assert ask(host.url) == "direct"
        assert ask(host.url.replace("127.0.0.1", "localhost")) == "direct"
        assert len(proxy.requests) == 1
