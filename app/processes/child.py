"""python -m app.processes.child MODULE ARGUMENT...: run one of our commands while its parent lives.

Standard input is a pipe whose other end only the parent holds. However the parent ends, kill -9
included, the system closes that end. This process then sends itself the SIGTERM that the parent
would have sent, and the command stops as it always does.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence

from app.commands import output


def main(argv: Sequence[str]) -> None:
    """Run the module `argv[0]` with the arguments that follow; it ends the process."""
    watch = threading.Thread(
        target=_outlive_no_parent, args=[threading.get_ident()], name="parent-watch", daemon=True
    )
    watch.start()
    sys.argv = list(argv)
    with output.nobody_reads():
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


def _outlive_no_parent(main_thread: int) -> None:
    # Not through sys.stdin: a thread that waits there keeps the interpreter from ending.
    while os.read(0, 1):
        pass
    # Standard output led to the parent, too: what the command prints at its end must not fail.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    # To the main thread, so that whatever it waits for is interrupted.
    signal.pthread_kill(main_thread, signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
