"""The rate limiter of one process; tests/contracts/test_rate_limiters.py has what all share."""

from __future__ import annotations

import threading
import time as real
from collections.abc import Callable

import pytest

from app.core.errors import UpstreamUnavailable
from app.sources.local_rate_limiter import LocalRateLimiter
from tests.unit.sources.upstream_fakes import FakeTime


def test_a_closure_reaches_those_who_already_wait() -> None:
    time = FakeTime()
    interrupt: list[Callable[[], None]] = []

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if interrupt:
            interrupt.pop()()

    under_test = LocalRateLimiter("h", 1.0, monotonic=time.monotonic, sleep=sleep)
    under_test.enter(0.0)
    interrupt.append(lambda: under_test.close_for(20.0))
    under_test.enter(60.0)
    assert time.slept == [1.0, 20.0]
    interrupt.append(lambda: under_test.close_for(20.0))
    with pytest.raises(UpstreamUnavailable) as caught:
        under_test.enter(5.0)
    assert caught.value.retry_after == 20.0


def test_threads_pass_one_at_a_time_a_period_apart_on_a_real_clock() -> None:
    under_test = LocalRateLimiter("h", 100.0)

    def caller() -> None:
        for _ in range(3):
            under_test.enter(60.0)

    started = real.monotonic()
    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    # 24 requests have 23 periods of 10 ms between the first and the last.
    assert real.monotonic() - started >= 0.229
