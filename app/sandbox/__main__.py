"""Run the stand-in exchange until a signal."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from app.commands import command, output
from app.core import waits
from app.core.errors import ConfigurationError
from app.sandbox.options import PROG, build_exchange, parser
from app.sandbox.server import serve

COMMAND = "sandbox"


def main(argv: Sequence[str] | None = None, prog: str = PROG) -> int:
    """Serve until SIGTERM or SIGINT. Exit code 0, or 2 where it could not start."""
    return command.run_without_settings(COMMAND, parser(prog), argv, _serve, own_signals=True)


def _serve(options: argparse.Namespace) -> int:
    stop = waits.StopSignals()
    exchange = build_exchange(options, time.time)
    with ExitStack() as stack:
        try:
            address = stack.enter_context(serve(exchange, options.port, options.host))
        except (OSError, OverflowError) as error:
            # Only a port that is in use ends here.
            raise ConfigurationError(f"{error}; choose another --port, or 0") from error
        output.line(f"sandbox exchange on {address}")
        stop.wait()
    return command.DONE


if __name__ == "__main__":
    sys.exit(main())
