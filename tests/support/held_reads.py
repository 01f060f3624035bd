"""A server with WORKERS=2, steered by files in its folder. Run as a program: GRACE DRAIN.

While `held` exists, reads of averages wait, and each leaves a file `asked-PROCESS-NUMBER`. While
`broken` exists, no worker can start. While `slow` exists, a start waits after `starting` was made.
"""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

from app.bootstrap import Runtime
from app.core.errors import StoreUnusable
from app.core.logging import configure
from app.core.market import AverageSlice, Series, Window
from app.core.settings import Settings
from app.serve import run
from app.testing.series import MemorySeriesStore
from tests.support import held_reads  # in the workers, `__main__` is another module
from tests.support.api import UNLIMITED, FakeRuntime, load, settings
from tests.support.patience import until

_NUMBERS = count()


class HeldStore(MemorySeriesStore):
    """Answers a read of averages once `held` is gone."""

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        if Path("held").exists():
            Path(f"asked-{os.getpid()}-{next(_NUMBERS)}").touch()
            until(lambda: not Path("held").exists())
        return super().read(series, window, first, last)


def build(chosen: Settings) -> Runtime:
    """What a worker works with, in memory."""
    if Path("broken").exists():
        raise StoreUnusable("The file `broken` is there.")
    Path("starting").touch()
    until(lambda: not Path("slow").exists())
    runtime = FakeRuntime(store=HeldStore())
    load(runtime.store, count=30)
    return runtime.build(chosen)


if __name__ == "__main__":
    grace, drain = (int(argument) for argument in sys.argv[1:])
    configure("INFO", "json")
    chosen = settings(port=0, workers=2, access_log="off", log_format="json", **UNLIMITED)
    sys.exit(run(chosen, build=held_reads.build, grace=grace, drain=drain))
