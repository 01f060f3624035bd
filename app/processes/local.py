"""python -m app.processes.local: the whole service on one machine, serving at once and keeping itself current.

It migrates, answers requests from the first second, and loads what is missing from the exchange in a
child process meanwhile; then it loads each new candle shortly after its close, and catches up after
any pause. Spot prices are collected by another child process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from app import serve
from app.core.errors import ConfigurationError
from app.core.logging import configure
from app.core.settings import Settings, load_settings
from app.processes.keeper import COLLECTOR, FIRST_RETRY, Beside, Children, Keeper, Periodic


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop. Exit 0 after a stop, 2 where it could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m app.processes.local",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    serve.add_address(parser)
    options = parser.parse_args(argv)
    try:
        settings = load_settings(**serve.address(options))
    except ConfigurationError as error:
        sys.stderr.write(f"run_local: could not start: {error}\n")
        return 2
    return serve_and_keep(settings, os.environ)


def serve_and_keep(
    settings: Settings,
    environment: Mapping[str, str],
    loaded: Callable[[str], None] = lambda _base_url: None,
) -> int:
    """Run the API with a keeper beside it; returns the server's exit code.

    `environment` is what the loaders' processes get; `loaded` is called with the service's address
    after the first load that succeeded.
    """
    configure(settings.log_level, settings.log_format)
    beside: list[Beside] = []

    def begin(base_url: str) -> None:
        _say(f"Serving on {base_url} (documentation: {base_url}/docs). Loading what is missing.")
        keeper = Keeper(
            settings.intervals,
            Children(environment),
            clock=time.time,
            say=_say,
            loaded=lambda: loaded(base_url),
        )
        # It never ends by itself; where it does, it is started again.
        collector = Periodic(COLLECTOR, [], Children(environment), every=FIRST_RETRY)
        beside.extend([keeper, collector])
        for each in beside:
            each.start()

    try:
        return serve.run(settings, on_ready=begin)
    finally:
        for each in beside:
            each.stop()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
