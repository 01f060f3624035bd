"""MMS API: exact simple moving averages (médias móveis simples) of crypto pairs, and live prices."""

import signal
import sys

__version__ = "0.2.0"

if sys.version_info < (3, 11):  # noqa: UP036 - the point is to tell users of older ones
    raise SystemExit(
        "MMS API needs Python 3.11 or newer; this is "
        f"{sys.version_info[0]}.{sys.version_info[1]} (3.10 is out of support since October 2026)."
    )


def raise_interrupts() -> None:
    """Let a Ctrl-C raise KeyboardInterrupt: for a command that has something to undo or to say then."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# While `python -m app.…` imports this, its own name is not known yet. What follows takes a second or two.
# Raised in the middle of that, an interrupt is a traceback, or what a library makes of it; so until the
# command says otherwise the process just ends by it. A shell that has switched it off is heeded.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
