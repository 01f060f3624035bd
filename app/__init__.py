"""MMS API: exact simple moving averages (médias móveis simples) of crypto pairs; live prices."""

import signal
import sys

__version__ = "0.2.0"

if sys.version_info < (3, 11):  # noqa: UP036 - the point is to tell users of older ones
    raise SystemExit(
        "MMS API needs Python 3.11 or newer; this is "
        f"{sys.version_info[0]}.{sys.version_info[1]} (3.10 is out of support since October 2026)."
    )

# The imports of a command take a second or two. An interrupt raised during them ends in a
# traceback, or in whatever a library does with it. So an interrupt just ends the process, until the
# command says otherwise (app.commands.command). Where the shell ignores interrupts, so does the
# process. While `python -m app.…` imports this, `sys.argv[0]` is still "-m".
_program = sys.argv[0].rpartition("/")[2] if sys.argv else ""
if _program in ("-m", "mms") and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
