"""The gate of one process; what it has in common with others is in tests/contracts/test_gates.py."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.core.errors import UpstreamUnavailable
from app.sources.gate import HostGate
from tests.unit.sources.upstream_fakes import FakeTime


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
