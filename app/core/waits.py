"""Waits that a signal ends soon, for the main thread of a command.

The kernel may deliver a signal to any thread, but Python runs the handler on the main thread, once
that executes Python code. A signal that another thread took does not wake a sleeping main thread.
So the main thread never sleeps for longer than one slice.
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
"""Seconds after which a sleeping main thread looks up."""


def until(ready: Callable[[float], object], seconds: float = math.inf) -> bool:
    """Call `ready(s)`, which waits up to s seconds, until it is true; return whether it was.

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
    """Sleep so many seconds."""
    until(time.sleep, seconds)


def join(thread: threading.Thread, seconds: float = math.inf) -> bool:
    """Wait for the thread's end, for at most `seconds`; return whether it came."""

    def ended(slice_seconds: float) -> bool:
        thread.join(slice_seconds)
        return not thread.is_alive()

    return until(ended, seconds)


class StopSignals:
    """SIGTERM and SIGINT as a flag, from now on.

    A plain flag: an Event has a lock, which the main thread may hold when the handler runs on it.
    """

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._take)

    def wait(self) -> None:
        """Return once one of them has come."""
        until(self._come_within)

    def _come_within(self, seconds: float) -> bool:
        if not self._came:
            time.sleep(seconds)
        return self._came

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
