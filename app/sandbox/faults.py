"""Reading faults, and the board that holds them until they are used up.

A fault is written `KIND[=VALUE][,NAME=VALUE…]`, such as `status=429,retry-after=7,times=3`;
`app.sandbox.fault_kinds` has the kinds.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

from pydantic import ValidationError

from app.core.errors import ConfigurationError
from app.sandbox.fault_kinds import KINDS, Fault


def fault(spec: str) -> Fault:
    """Read one fault. Raises ConfigurationError, with one line that says what to write."""
    head, *rest = re.split(r",(?=[a-z-]+=)", spec)
    name, equals, value = head.partition("=")
    kind = KINDS.get(name)
    if kind is None:
        raise ConfigurationError(f"fault {name!r} is unknown: write one of {', '.join(KINDS)}")
    pairs = [item.split("=", 1) for item in rest]
    values = {name.replace("-", "_"): text for name, text in pairs}
    try:
        return kind.model_validate({**({"value": value} if equals else {}), **values})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"fault {name}: {first['loc'][0]}: {first['msg']}; "
            f"it takes {', '.join(kind.model_fields)}"
        ) from None


@dataclass(slots=True)
class _Posted:
    """A fault on the board, the requests that matched it (`seen`), and those it hit (`used`)."""

    fault: Fault
    seen: int = 0
    used: int = 0


class FaultBoard:
    """The faults that are set. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._posted: list[_Posted] = []

    def add(self, *faults: Fault | str) -> None:
        """Set faults, all or none. Raises ConfigurationError."""
        posted = [_Posted(item if isinstance(item, Fault) else fault(item)) for item in faults]
        with self._lock:
            self._posted += posted

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._posted.clear()

    def due(self, target: str) -> list[Fault]:
        """Count a request, and return the faults that hit it. `target` is its path and query.

        Of the faults that spoil a whole reply only the oldest is used, so several make a sequence.
        """
        chosen: list[Fault] = []
        with self._lock:
            for posted in self._posted:
                item = posted.fault
                if item.on not in target or item.path not in target or posted.used == item.times:
                    continue
                posted.seen += 1
                taken = item.alone and any(other.alone for other in chosen)
                if posted.seen > item.after and not taken:
                    chosen.append(item)
                    posted.used += 1
        return chosen
