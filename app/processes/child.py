"""python -m app.processes.child MODULE ARGUMENT...: run one of our commands for as long as its parent lives.

Standard input is a pipe whose other end the parent alone holds. However the parent ends, kill -9
included, the system closes that end; this process then gets the SIGTERM that the parent would have sent,
and the command stops as it always does.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence


def main(argv: Sequence[str]) -> None:
    """Run the module that comes first with the arguments that follow; it ends the process."""
    watch = threading.Thread(
        target=_outlive_no_parent, args=[threading.get_ident()], name="parent-watch", daemon=True
    )
    watch.start()
    sys.argv = list(argv)
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


def _outlive_no_parent(main_thread: int) -> None:
    # Not through sys.stdin: a thread that waits in there keeps the interpreter from ending.
    while os.read(0, 1):
        pass
    # Its output went to the parent as well: what is printed at the end must not fail for that.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    # To that thread, so that whatever it waits for is interrupted.
    signal.pthread_kill(main_thread, signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
