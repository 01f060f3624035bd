"""How many files this process may open, and what part of them connections may take."""

from __future__ import annotations

import resource
from typing import Final

SHARE: Final = 0.8
"""The part that connections may take. The rest is for the database, the cache, the exchange and the
log."""


def for_connections() -> int | None:
    """The connections that the process may have by its limit (`ulimit -n`); None without one."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if files == resource.RLIM_INFINITY else max(2, int(files * SHARE))
