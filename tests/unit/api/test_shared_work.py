"""Requests for one thing at the same time share its outcome."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from app.api.shared_work import SharedWork


@dataclass
class Work:
    """Waits until it may end, and counts how often it was begun."""

    error: Exception | None = None
    begun: int = 0
    may_end: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> int:
        self.begun += 1
        assert self.may_end.wait(60)
        if self.error is not None:
            raise self.error
        return self.begun


@pytest.mark.parametrize("error", [None, OSError("away")])
def test_who_comes_meanwhile_shares_the_outcome_and_who_comes_later_does_not(
    error: Exception | None,
) -> None:
    async def meet() -> None:
        shared, work = SharedWork(), Work(error)
        # More of them than there are threads.
        callers = [asyncio.create_task(shared.outcome("BTC", work)) for _ in range(100)]
        await asyncio.sleep(0)
        callers[0].cancel()  # the one that began it goes
        other = Work()
        other.may_end.set()
        assert await shared.outcome("ETH", other) == 1
        work.may_end.set()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(outcomes[0], asyncio.CancelledError)
        assert outcomes[1:] == [error or 1] * 99
        assert work.begun == 1
        assert await shared.outcome("BTC", other) == 2

    asyncio.run(meet())
