"""The limits of a request, and when a failed one is retried: data, and a pure function.

The loop that acts on them lives in `app.sources.http` and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from app.core.errors import UpstreamUnavailable

LONGEST_WAIT: Final = 3_600.0
"""Seconds. A longer Retry-After is cut to this; the next run then tries again."""

_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long one request may take and how much it may bring.

    `connect` and `read` bound one socket operation, `deadline` the whole request; seconds. `body`
    is the longest body in bytes, compressed and decompressed. It also bounds memory: parsed JSON
    can take 40 times the size of its text. The longest reply we ask for has about 80,000 bytes.
    """

    connect: float = 3.0
    read: float = 5.0
    deadline: float = 15.0
    body: int = 1_000_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for how long one request is retried. Times in seconds.

    `attempts` counts the first one too. Attempt n + 1 waits a random time between 0 and
    `base` × 2^(n-1), at most `cap`. `total` bounds everything from the first attempt on, waits for
    the rate limiter included. Its last `room` seconds are for a request: no wait reaches into them.
    """

    attempts: int = 5
    base: float = 1.0
    cap: float = 30.0
    total: float = 90.0
    room: float = 2.0

    @property
    def latest(self) -> float:
        """The last moment to send a request, in seconds after the first attempt began."""
        return self.total - min(self.room, self.total / 2)


def decide(
    policy: RetryPolicy,
    error: UpstreamUnavailable,
    attempt: int,
    elapsed: float,
    random: Callable[[], float],
) -> float | None:
    """Seconds to wait after the failed `attempt` (1 is the first) before the next; None for none.

    No other error is retried: a block, a refusal and nonsense would come again. Full jitter (a
    uniform share of the whole back-off; `random` gives [0, 1)) keeps callers that failed together
    from coming back together. The wait is never shorter than the host's `retry_after`.
    """
    if attempt >= policy.attempts:
        return None
    delay = random() * min(policy.cap, policy.base * 2.0 ** (attempt - 1))
    if error.retry_after is not None:
        delay = max(delay, error.retry_after)
    return delay if elapsed + delay < policy.latest else None


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Read a `Retry-After` header, seconds or an HTTP date (RFC 9110, 10.2.3), as seconds from now.

    At most LONGEST_WAIT: even an absurd value means that the host wants a pause. None where it is
    absent, unreadable or in the past.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        at = parse_http_date(text)
        if at is None or at < now:
            return None
        seconds = at - now
    return min(seconds, LONGEST_WAIT)


def parse_http_date(value: str | None) -> int | None:
    """Read an HTTP date such as `Sat, 30 Mar 2024 20:10:17 GMT` as unix seconds; else None."""
    if value is None:
        return None
    try:
        at = parsedate_to_datetime(value)
        # HTTP dates are in GMT, also those that do not say so.
        return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None
