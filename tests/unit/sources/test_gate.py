"""One gate per host: requests are spaced, and a host that asks for peace gets it from everybody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import UpstreamUnavailable
from app.sources.gate import Gate, HostGate
from tests.unit.sources.upstream_fakes import FakeTime


def gate(time: FakeTime, rate: float = 1.0) -> Gate:
    return HostGate("exchange.example", rate, monotonic=time.monotonic, sleep=time.sleep)


def test_the_first_request_goes_out_at_once_and_the_next_ones_a_period_apart() -> None:
    time = FakeTime()
    under_test = gate(time, rate=4.0)
    passed = []
    for _ in range(4):
        under_test.enter(10.0)
        passed.append(time.now - 1_000.0)
    assert passed == [0.0, 0.25, 0.5, 0.75]


def test_a_pause_between_requests_is_not_saved_up_for_a_burst() -> None:
    time = FakeTime()
    under_test = gate(time)
    under_test.enter(0.0)
    time.now += 60.0
    under_test.enter(0.0)
    under_test.enter(1.0)
    assert time.slept == [1.0]


def test_a_sleep_that_lasts_too_long_does_not_bring_the_next_request_closer() -> None:
    time = FakeTime()

    def oversleep(seconds: float) -> None:
        time.sleep(seconds + 0.4)

    under_test = HostGate("h", 1.0, monotonic=time.monotonic, sleep=oversleep)
    passed = []
    for _ in range(3):
        under_test.enter(10.0)
        passed.append(round(time.now - 1_000.0, 6))
    assert passed == [0.0, 1.4, 2.8]


def test_a_wait_beyond_the_budget_is_refused_at_once_with_the_time_to_come_back() -> None:
    time = FakeTime()
    under_test = gate(time, rate=0.1)
    under_test.enter(0.0)
    with pytest.raises(UpstreamUnavailable, match=r"exchange\.example.*10\.0 s") as caught:
        under_test.enter(9.9)
    assert caught.value.retry_after == pytest.approx(10.0)
    assert time.slept == []
    under_test.enter(10.0)
    assert time.slept == [10.0]


def test_who_was_refused_holds_no_place_in_the_queue() -> None:
    time = FakeTime()
    under_test = gate(time)
    under_test.enter(0.0)
    for _ in range(5):
        with pytest.raises(UpstreamUnavailable):
            under_test.enter(0.5)
    under_test.enter(1.0)
    assert time.slept == [1.0]


def test_a_closed_gate_is_closed_for_everybody_and_a_shorter_closure_opens_nothing() -> None:
    time = FakeTime()
    under_test = gate(time)
    under_test.close_for(30.0)
    under_test.close_for(1.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        under_test.enter(29.0)
    assert caught.value.retry_after == 30.0
    under_test.enter(30.0)
    assert time.now == 1_030.0
    under_test.enter(1.0)
    assert time.now == 1_031.0


def test_a_closure_reaches_those_who_already_wait() -> None:
    time = FakeTime()
    interrupt: list[Callable[[], None]] = []

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if interrupt:
            interrupt.pop()()

    under_test = HostGate("h", 1.0, monotonic=time.monotonic, sleep=sleep)
    under_test.enter(0.0)
    interrupt.append(lambda: under_test.close_for(20.0))
    under_test.enter(60.0)
    assert time.slept == [1.0, 20.0]
    interrupt.append(lambda: under_test.close_for(20.0))
    with pytest.raises(UpstreamUnavailable) as caught:
        under_test.enter(5.0)
    assert caught.value.retry_after == 20.0


def test_an_interrupted_wait_leaves_the_queue() -> None:
    time = FakeTime()

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    under_test = HostGate("h", 1.0, monotonic=time.monotonic, sleep=interrupted)
    under_test.enter(0.0)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            under_test.enter(5.0)
    time.now += 1.0
    under_test.enter(0.0)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["enter", "close", "idle"]), st.floats(0, 5)), max_size=25
    ),
    rate=st.floats(0.2, 20),
)
def test_no_two_requests_are_closer_than_the_period_and_none_falls_into_a_closure(
    steps: list[tuple[str, float]], rate: float
) -> None:
    time = FakeTime()
    under_test = gate(time, rate)
    passed: list[float] = []
    closed_until = 0.0
    for what, amount in steps:
        if what == "enter":
            under_test.enter(1_000.0)
            assert time.now >= closed_until - 1e-6
            passed.append(time.now)
        elif what == "close":
            under_test.close_for(amount)
            closed_until = max(closed_until, time.now + amount)
        else:
            time.now += amount
    assert all(b - a >= 1 / rate - 1e-6 for a, b in pairwise(passed))


def test_threads_pass_one_at_a_time_a_period_apart_on_a_real_clock() -> None:
    import time as real

    under_test = HostGate("h", 100.0)
    passed: list[float] = []
    lock = threading.Lock()

    def caller() -> None:
        for _ in range(3):
            under_test.enter(5.0)
            with lock:
                passed.append(real.monotonic())

    started = real.monotonic()
    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5.0)
    assert len(passed) == 24
    # 24 requests have 23 periods of 10 ms between the first and the last.
    assert max(passed) - started >= 0.23
    assert max(passed) - started < 2.0
