"""The sliding-window counter: at most `count` requests in any `seconds` seconds, nearly.

Time is cut into windows of `seconds`. What passed in the window before this one is taken as spread
evenly over it, and counts as far as it reaches into the last `seconds` seconds. So a client needs
two numbers, and not a list of its requests.
"""

from __future__ import annotations

import math

from app.core.setting_edge import Rate


def room(rate: Rate, before: int, now: int, remaining: float) -> int:
    """How many more requests may pass; 0 or less where none may.

    `before` and `now` are the requests that passed in the window before this one and in this one,
    which goes on for `remaining` seconds, above 0.
    """
    if not before:
        return rate.count - now
    return math.floor(rate.count - now - before * remaining / rate.seconds)


def wait(rate: Rate, before: int, now: int, remaining: float) -> int:
    """The smallest number of whole seconds, from 1, after which a request may pass.

    That is if no other one passes meanwhile. The arguments are those of `room`.
    """
    longest = rate.count - 1 - now
    if longest >= 0:
        after = remaining - longest * rate.seconds / before if before else 0
    else:
        after = remaining + max(0, rate.seconds - (rate.count - 1) * rate.seconds / now)
    seconds = max(1, math.ceil(after))
    # Division may be off by the last binary place.
    while seconds > 1 and _passes_after(seconds - 1, rate, before, now, remaining):
        seconds -= 1
    while not _passes_after(seconds, rate, before, now, remaining):
        seconds += 1
    return seconds


def _passes_after(seconds: int, rate: Rate, before: int, now: int, remaining: float) -> bool:
    left = remaining - seconds
    if left > 0:
        return room(rate, before, now, left) > 0
    left += rate.seconds
    return left <= 0 or room(rate, now, 0, left) > 0
