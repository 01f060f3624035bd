"""Work under a lease: one process at a time. A second one gets an error that names the holder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.core.errors import TakenByAnother
from app.core.market import Series
from app.core.ports import Clock, Leases

RENEW_EVERY: Final = 20.0
"""Seconds between two renewals of a lease that is in use."""


def load_lease(series: Series) -> str:
    """Return the name of the lease that loads and repairs of a series take."""
    return f"load {series}"


@contextmanager
def leased(leases: Leases, name: str, clock: Clock) -> Iterator[Callable[[], None]]:
    """Hold the lease `name` for the block. Yields a function that renews it: call it now and then.

    Raises TakenByAnother if another process holds the lease: at the start, or at a renewal after a
    long pause. Raises StoreError.
    """
    taken_at = clock()
    _take(leases, name, taken_at)

    def renew() -> None:
        nonlocal taken_at
        now = clock()
        if not 0 <= now - taken_at < RENEW_EVERY:  # below 0: the clock was set back
            _take(leases, name, now)
            taken_at = now

    try:
        yield renew
    finally:
        leases.release(name)


def _take(leases: Leases, name: str, now: float) -> None:
    holder = leases.take(name, now)
    if holder is not None:
        raise TakenByAnother(f"{name}: {holder} already holds the lease; left to that process")
