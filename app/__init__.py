"""MMS API: exact simple moving averages (médias móveis simples) of crypto pairs, and live prices."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the point is to tell users of older ones
    raise SystemExit(
        "MMS API needs Python 3.11 or newer; this is "
        f"{sys.version_info[0]}.{sys.version_info[1]} (3.10 is out of support since October 2026)."
    )
