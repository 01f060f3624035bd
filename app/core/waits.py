"""Waits that a signal ends soon, for the main thread of a command.

The kernel may deliver a signal to any thread, but Python runs the handler on the main thread, the
next time that one executes Python code. A signal that another thread received does not wake a
sleeping main thread. So the main thread never sleeps for longer than one slice.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

SLICE: Final = 0.2
"""The longest single sleep of the main thread, in seconds."""


def until(ready: Callable[[float], object], seconds: float = math.inf) -> bool:
    """Call `ready(s)`, which waits up to s seconds, until it is true; return whether it became so.

    Give up after `seconds`. `threading.Event.wait` is such a function.
    """
    give_up = time.monotonic() + seconds
    while True:
        left = max(0.0, give_up - time.monotonic())
        if ready(min(left, SLICE)):
            return True
        if left <= SLICE:
            return False


def sleep(seconds: float) -> None:
    """Sleep for `seconds`."""
    until(time.sleep, seconds)


def join(thread: threading.Thread, seconds: float = math.inf) -> bool:
    """Wait for the thread to end, for at most `seconds`; return whether it did."""

    def ended(slice_seconds: float) -> bool:
        thread.join(slice_seconds)
        return not thread.is_alive()

    return until(ended, seconds)


class StopSignals:
    """Record SIGTERM and SIGINT, from its creation on, in a list of those that have arrived.

    The list is a plain one: an Event has a lock, which the main thread may hold when the handler
    runs on it.
    """

    def __init__(self) -> None:
        self.arrived: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._record)

    def wait(self) -> None:
        """Return once one of the signals has arrived."""
        until(self._arrived_within)

    def _arrived_within(self, seconds: float) -> bool:
        if not self.arrived:
            time.sleep(seconds)
        return bool(self.arrived)

    def _record(self, number: int, _frame: FrameType | None) -> None:
        self.arrived.append(number)
