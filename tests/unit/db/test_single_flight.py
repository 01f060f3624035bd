"""One piece of work for all who want it at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.core.errors import StoreUnavailable
from app.db.cache.single_flight import SingleFlight
from tests.support.patience import until, waiting_in

CALLERS = 50


class Work:
    """Work that begins, waits to be let go, and counts."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.times = 0
        self._error = error

    def __call__(self) -> int:
        self.times += 1
        self.begun.set()
        assert self.go.wait(timeout=10)
        if self._error is not None:
            raise self._error
        return self.times


def test_callers_at_the_same_time_share_one_piece_of_work() -> None:
    flights, work = SingleFlight(), Work()
    with ThreadPoolExecutor(CALLERS + 1) as pool:
        first = pool.submit(flights.do, "key", work)
        assert work.begun.wait(timeout=10)
        others = [pool.submit(flights.do, "key", work) for _ in range(CALLERS)]
        until(lambda: waiting_in(Future.result) == CALLERS)
        work.go.set()
        assert {future.result(timeout=10) for future in [first, *others]} == {1}
    assert work.times == 1


def test_other_keys_do_not_wait() -> None:
    flights, slow, quick = SingleFlight(), Work(), Work()
    quick.go.set()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(flights.do, "slow", slow)
        assert slow.begun.wait(timeout=10)
        assert flights.do("quick", quick) == 1
        slow.go.set()
        assert waiting.result(timeout=10) == 1


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), KeyboardInterrupt()])
def test_an_error_reaches_everybody_who_waited_and_nobody_later(error: BaseException) -> None:
    flights, failing, working = SingleFlight(), Work(error), Work()
    working.go.set()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(flights.do, "key", failing)
        assert failing.begun.wait(timeout=10)
        second = pool.submit(flights.do, "key", failing)
        until(lambda: waiting_in(Future.result) == 1)
        failing.go.set()
        for future in (first, second):
            assert type(future.exception(timeout=10)) is type(error)
    assert flights.do("key", working) == 1
