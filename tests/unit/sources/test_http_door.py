"""The door to a host: what it sends and repeats, what it tells the rate limiter and the log."""

from __future__ import annotations

import httpx
import pytest
from structlog.testing import capture_logs

from app.core.errors import (
    OutOfTurn,
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.sources.http import USER_AGENT
from app.sources.local_rate_limiter import LocalRateLimiter
from app.sources.retry import RetryPolicy
from tests.unit.sources.upstream_fakes import (
    HOST,
    Answer,
    FakeHost,
    FakeTime,
    OpenLimiter,
    answer,
    door,
)


def test_a_request_says_honestly_who_asks_and_asks_for_the_base_url_s_path() -> None:
    host = FakeHost([answer([])])
    with door(host, base_url=f"https://{HOST}/api/v4/") as http:
        http.get_json("candles", {"symbol": "BTC-BRL", "from": 1, "to": 2})
    (request,) = host.requests
    assert str(request.url) == f"https://{HOST}/api/v4/candles?symbol=BTC-BRL&from=1&to=2"
    assert request.headers["user-agent"] == USER_AGENT
    assert request.headers["accept-encoding"] == "gzip"
    assert request.headers["connection"] == "close"


def test_a_temporary_failure_is_repeated_until_it_succeeds() -> None:
    time, limiter = FakeTime(), OpenLimiter()
    host = FakeHost([answer(status=503), httpx.ReadTimeout("slow"), answer(["yes"])])
    with door(host, time=time, limiter=limiter) as http, capture_logs() as logs:
        assert http.get_json("x", {}).data == ["yes"]
    assert time.slept == [0.5, 1.0]  # half of 1 s, then half of 2 s
    assert len(limiter.budgets) == 3
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("upstream_retry", "warning")
    ] * 2
    assert [(line["host"], line["attempt"], line["delay"]) for line in logs] == [
        (HOST, 1, 0.5),
        (HOST, 2, 1.0),
    ]
    assert "503" in logs[0]["reason"]
    assert "timed out" in logs[1]["reason"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(status=403), UpstreamBlocked),
        (answer(body=b"<html>"), UpstreamBlocked),
        (answer(status=400), UpstreamRejected),
        (answer(body=b"nonsense"), UpstreamNonsense),
        (answer(status=302, headers={"location": "https://login.example/"}), UpstreamNonsense),
    ],
)
def test_what_would_come_again_is_asked_once(reply: Answer, kind: type[UpstreamError]) -> None:
    host = FakeHost([reply])
    with door(host) as http, capture_logs() as logs, pytest.raises(kind):
        http.get_json("x", {})
    assert len(host.requests) == 1
    assert logs == []


def test_the_gate_is_told_how_much_of_the_total_is_left_beside_the_request_s_own_room() -> None:
    limiter = OpenLimiter()
    policy = RetryPolicy(attempts=3, base=8.0, total=50.0)
    host = FakeHost([answer(status=503)])
    with door(host, limiter=limiter, policy=policy) as http, pytest.raises(UpstreamUnavailable):
        http.get_json("x", {})
    assert limiter.budgets == [48.0, 44.0, 36.0]


class OneTurn(OpenLimiter):
    """A RateLimiter that has a single turn to give."""

    def enter(self, budget: float) -> None:
        super().enter(budget)
        if len(self.budgets) > 1:
            raise OutOfTurn("The next free turn comes too late.", host=HOST)


def test_without_another_turn_the_error_is_what_went_wrong_in_the_first() -> None:
    host = FakeHost([answer(status=503)])
    with door(host, limiter=OneTurn()) as http, pytest.raises(UpstreamUnavailable, match="503"):
        http.get_json("x", {})


def test_a_host_that_asks_for_peace_gets_it_from_every_caller() -> None:
    time = FakeTime()
    limiter = LocalRateLimiter(HOST, 1.0, monotonic=time.monotonic, sleep=time.sleep)
    busy = FakeHost([answer(status=429, headers={"retry-after": "40"})])
    fine = FakeHost([answer([])])
    hurried = RetryPolicy(total=30.0)
    for host in (busy, fine):
        with door(host, limiter=limiter, time=time, policy=hurried) as http:
            with pytest.raises(UpstreamUnavailable) as caught:
                http.get_json("x", {})
            assert caught.value.retry_after == 40
    assert fine.requests == []
    with door(fine, limiter=limiter, time=time) as http:
        http.get_json("x", {})
    assert time.slept == [40.0]


def test_a_short_password_takes_no_digit_out_of_a_reply() -> None:
    login, host = "4:0", FakeHost([answer(status=429, headers={"retry-after": "40"})])
    with (
        door(host, base_url=f"https://{login}@{HOST}", policy=RetryPolicy(attempts=1)) as http,
        pytest.raises(UpstreamUnavailable) as caught,
    ):
        http.get_json("x", {})
    assert caught.value.retry_after == 40


def test_a_wait_longer_than_the_total_closes_the_gate_and_is_handed_to_the_caller() -> None:
    time, limiter = FakeTime(), OpenLimiter()
    host = FakeHost([answer(status=503, headers={"retry-after": "7200"})])
    with (
        door(host, time=time, limiter=limiter) as http,
        pytest.raises(UpstreamUnavailable) as caught,
    ):
        http.get_json("x", {})
    assert caught.value.retry_after == 3_600
    assert limiter.closures == [3_600]
    assert time.slept == []
    assert len(host.requests) == 1


def test_the_host_is_named_with_its_port_and_never_with_its_password() -> None:
    with door(
        FakeHost([answer([])]), base_url="https://user:secret@exchange.example:8443/v4"
    ) as http:
        assert http.host == "exchange.example:8443"
