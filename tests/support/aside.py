"""python -m tests.support.aside MODULE ARGUMENT...: run a command whose other thread takes SIGTERM.

That thread takes it once standard input has something to read. The kernel may hand a signal to any
thread, and this is the one that does not wake the main thread.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _take() -> None:
    os.read(0, 1)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_take, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
