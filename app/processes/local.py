"""The whole service on one machine, serving at once and keeping itself current.

It migrates the database and answers requests from the first second. Meanwhile a child process loads
what is missing from the exchange, then each new candle shortly after its close, and catches up
after any pause. Another child process collects spot prices.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from app import serve
from app.commands import command, output
from app.core.how_to_run import how_to_run
from app.core.settings import Settings
from app.processes.keeper import COLLECTOR, FIRST_RETRY, Beside, Children, Keeper, Periodic

COMMAND = "local"


def main(argv: Sequence[str] | None = None, prog: str = "python -m app.processes.local") -> int:
    """Serve until a signal. Exit 0 after a stop, 2 where it could not start."""
    parser = command.plain_parser(prog, __doc__)
    serve.add_address(parser)
    return command.run(
        COMMAND,
        parser,
        argv,
        lambda settings, _options: serve_and_keep(settings, os.environ),
        overrides=serve.address,
        own_signals=True,
    )


def serve_and_keep(
    settings: Settings,
    environment: Mapping[str, str],
    loaded: Callable[[str, Children], None] = lambda _base_url, _children: None,
) -> int:
    """Run the API with a keeper beside it; returns the server's exit code.

    `environment` is that of the loaders' processes. After the first load that succeeded, `loaded`
    is called with the service's address and with what runs the loaders, which is free until it
    returns.
    """
    beside: list[Beside] = []

    def begin(base_url: str) -> None:
        docs = f" (documentation: {base_url}/docs)" if settings.has_docs else ""
        output.say(f"Serving on {base_url}{docs}. Loading what is missing.")
        children = Children(environment)
        keeper = Keeper(
            settings.intervals,
            children,
            clock=time.time,
            say=output.say,
            hint=f"To see the service work without a network: {how_to_run('demo')}",
            loaded=lambda: loaded(base_url, children),
        )
        # The collector runs until it is stopped; should it end early, it is started again.
        collector = Periodic(COLLECTOR, [], Children(environment), every=FIRST_RETRY)
        beside.extend([keeper, collector])
        for each in beside:
            each.start()

    try:
        return serve.run(settings, on_ready=begin)
    finally:
        for each in beside:
            each.stop()


if __name__ == "__main__":
    sys.exit(main())
