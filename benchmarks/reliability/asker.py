"""One of several processes that ask an exchange through the rate limiter that all of them share.

`python -m benchmarks.reliability.asker QUESTIONS` sends so many requests, as fast as the rate
limiter allows. Settings come from the environment. Exit 0: all were answered.
"""

from __future__ import annotations

import sys
import time

from app import bootstrap
from app.core.market import Interval, Series
from app.core.settings import load_settings


def main(questions: str) -> int:
    """Ask, and end."""
    settings = load_settings()
    series = Series(settings.allowed_pairs[0], Interval.DAY)
    runtime = bootstrap.for_command(settings)
    try:
        with bootstrap.open_candle_source(settings, runtime.limiter_for, runtime.clock) as source:
            for _ in range(int(questions)):
                bucket = series.interval.last_closed(time.time())
                source.page(series, bucket, bucket)
    finally:
        runtime.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
