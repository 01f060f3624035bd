"""`python -m app.sandbox`: run the stand-in exchange until it is told to stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from app.core import waits
from app.core.errors import MmsError
from app.sandbox.assembly import build_exchange
from app.sandbox.options import parser
from app.sandbox.server import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit code 0, or 2 where it could not start."""
    options = parser().parse_args(argv)
    stop = waits.StopSignals()
    with ExitStack() as stack:
        try:
            exchange = build_exchange(options, time.time, _complain)
            served = serve(exchange, options.port, options.host, verbose=options.verbose)
            address = stack.enter_context(served)
        except MmsError as error:
            _complain(str(error))
            return 2
        except OSError as error:
            _complain(
                f"cannot listen on {options.host} port {options.port} "
                f"({error.strerror or error}); choose another --port, or 0 for a free one"
            )
            return 2
        sys.stdout.write(f"sandbox exchange ({exchange.book.kind}) on {address}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


def _complain(line: str) -> None:
    sys.stderr.write(f"sandbox: {line}\n")


if __name__ == "__main__":
    sys.exit(main())
