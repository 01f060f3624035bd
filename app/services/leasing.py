"""Working under a lease: one process at a time, and a clear word to the second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.core.errors import TakenByAnother
from app.core.ports import Clock, Leases

RENEW_EVERY: Final = 20.0
"""Seconds between two renewals of a lease under which work goes on."""


@contextmanager
def leased(leases: Leases, name: str, clock: Clock) -> Iterator[Callable[[], None]]:
    """Hold the lease `name` for the block; yields a function to call now and then, which renews it.

    Raises TakenByAnother where somebody else holds it, at the start or, after a long pause, at a
    renewal. Raises StoreError.
    """
    taken_at = clock()
    _take(leases, name, taken_at)

    def renew() -> None:
        nonlocal taken_at
        now = clock()
        if not 0 <= now - taken_at < RENEW_EVERY:  # a clock may have been set back, too
            _take(leases, name, now)
            taken_at = now

    try:
        yield renew
    finally:
        leases.release(name)


def _take(leases: Leases, name: str, now: float) -> None:
    holder = leases.take(name, now)
    if holder is not None:
        raise TakenByAnother(f"{name}: {holder} is at it already; left to that one")
