"""Run the loader after each candle, or the monitor every hour, for ever.

For containers, which have neither cron nor systemd. `load` loads what is missing and then each new
candle shortly after its close, as `make run_local` does. `monitor` looks for missing candles and
fetches them. Each run is a process of its own and logs to this process's log.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

from app.commands import command
from app.core import waits
from app.core.logging import structlog
from app.core.settings import Settings
from app.processes.keeper import MONITOR, Beside, Children, Keeper, Periodic

COMMAND = "scheduled"

HOUR: Final = 3_600


def main(argv: Sequence[str] | None = None, prog: str = "python -m app.processes.scheduled") -> int:
    """Run one of the two until a signal. Exit 0 after a stop, 2 where it could not start."""
    parser = command.plain_parser(prog, __doc__)
    parser.add_argument("what", choices=["load", "monitor"])
    return command.run(COMMAND, parser, argv, _work, own_signals=True)


def _work(settings: Settings, options: argparse.Namespace) -> int:
    stopped = waits.StopSignals()
    thread = scheduled(options.what, settings, os.environ)
    thread.start()
    stopped.wait()
    thread.stop()
    structlog.get_logger().info("schedule_stopped", what=options.what)
    return command.DONE


def scheduled(what: str, settings: Settings, environment: Mapping[str, str]) -> Beside:
    """The thread that runs `load` or `monitor`; `environment` is that of its processes."""
    children = Children(environment)
    if what == "monitor":
        return Periodic(MONITOR, ["--repair"], children, every=HOUR)
    return Keeper(settings.intervals, children, clock=time.time, say=_say)


def _say(text: str) -> None:
    structlog.get_logger().warning("schedule_notice", notice=text)


if __name__ == "__main__":
    sys.exit(main())
