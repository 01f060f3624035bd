"""MMS API: exact simple moving averages (médias móveis simples) of crypto pairs, and live prices."""

import signal
import sys

__version__ = "0.2.0"

if sys.version_info < (3, 11):  # noqa: UP036 - the point is to tell users of older ones
    raise SystemExit(
        "MMS API needs Python 3.11 or newer; this is "
        f"{sys.version_info[0]}.{sys.version_info[1]} (3.10 is out of support since October 2026)."
    )

# The imports of a command take a second or two. An interrupt raised in the middle of them is a
# traceback, or what a library makes of it. So an interrupt just ends the process until the command
# says otherwise (app.commands.command). A shell that has switched interrupts off is heeded.
# While `python -m app.…` imports this, the program is not named yet: "-m" stands in its place.
_program = sys.argv[0].rpartition("/")[2] if sys.argv else ""
if _program in ("-m", "mms") and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
