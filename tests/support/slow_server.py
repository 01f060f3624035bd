"""A server whose reads of averages wait for a line on standard input. Run as a program.

Standard output says `ready URL`, then `asked` for each read that waits.
"""

from __future__ import annotations

import sys

from app.core.logging import configure
from app.core.market import AverageSlice, Series, Window
from app.serve import run
from app.testing.series import MemorySeriesStore
from tests.support.api import FakeRuntime, load, settings


class WaitingStore(MemorySeriesStore):
    """Answers a read of averages once a line comes in."""

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        say("asked")
        sys.stdin.readline()
        return super().read(series, window, first, last)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    grace, drain = (int(argument) for argument in sys.argv[1:])
    runtime = FakeRuntime(store=WaitingStore())
    load(runtime.store, count=30)
    configure("INFO", "json")
    code = run(
        settings(port=0),
        build=runtime.build,
        on_ready=lambda url: say(f"ready {url}"),
        grace=grace,
        drain=drain,
    )
    say(f"closed {runtime.closed}")
    sys.exit(code)
