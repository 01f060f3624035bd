"""`python -m app.sandbox`: run the stand-in exchange until it is told to stop."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from app.core import waits
from app.core.errors import MmsError
from app.sandbox.options import build_exchange, parser
from app.sandbox.server import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT. Exit code 0, or 2 where it could not start."""
    stop = waits.StopSignals()
    with ExitStack() as stack:
        try:
            options = parser().parse_args(argv)
            exchange = build_exchange(options, time.time)
            address = stack.enter_context(serve(exchange, options.port, options.host))
        except (MmsError, OSError, OverflowError) as error:
            # Of the system's errors only a port that is taken can come this far.
            remedy = "" if isinstance(error, MmsError) else "; choose another --port, or 0"
            sys.stderr.write(f"sandbox: {error}{remedy}\n")
            return 2
        sys.stdout.write(f"sandbox exchange on {address}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
