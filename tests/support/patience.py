"""Waiting for a condition, with an end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType, FunctionType


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return once the condition holds; fail where it does not in time."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.01)


def waiting_in(function: Callable[..., object]) -> int:
    """How many threads are inside the function now."""
    assert isinstance(function, FunctionType)
    code = function.__code__
    count = 0
    for innermost in sys._current_frames().values():
        frame: FrameType | None = innermost
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back
        count += frame is not None
    return count
