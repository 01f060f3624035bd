"""MMS API: exact simple moving averages (médias móveis simples) of crypto pairs, and live prices."""

import sys
from types import TracebackType

if sys.version_info < (3, 11):  # noqa: UP036 - the point is to tell users of older ones
    raise SystemExit(
        "MMS API needs Python 3.11 or newer; this is "
        f"{sys.version_info[0]}.{sys.version_info[1]} (3.10 is out of support since October 2026)."
    )


def _without_interrupts(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


# While `python -m app.…` imports this, its own name is not known yet. What follows takes a second or two,
# and a Ctrl-C in it is no error of the program: the process ends by it all the same, without a traceback.
if sys.argv[:1] == ["-m"]:
    sys.excepthook = _without_interrupts
