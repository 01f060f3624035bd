"""The board on which faults stand until they are used up, and the endpoint that sets them.

A fault is written `KIND[=VALUE][,NAME=VALUE…]`, such as `status=429,retry-after=7,times=3`;
`app.sandbox.fault_kinds` has the kinds. `POST /_sandbox/faults` takes one or a list of them, each as a text
or an object (`{"kind": "status", "value": 503, "times": 3}`); `GET` lists what is set, `DELETE` removes
all.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from pydantic import ValidationError

from app.core.errors import ConfigurationError
from app.sandbox import wire
from app.sandbox.fault_kinds import KINDS, Fault
from app.sandbox.wire import Reply

PREFIX: Final = "/_sandbox/"
_FAULTS: Final = f"{PREFIX}faults"


def fault(given: str | Mapping[str, Any]) -> Fault:
    """Read one fault. Raises ConfigurationError: one line that says what to write."""
    if isinstance(given, str):
        head, *rest = re.split(r",(?=[a-z-]+=)", given)
        name, equals, value = head.partition("=")
        pairs = [item.split("=", 1) for item in [*([f"value={value}"] if equals else []), *rest]]
        values: dict[str, Any] = dict(pairs)
        if len(values) < len(pairs):
            raise ConfigurationError(f"fault {given[:100]!r}: give each name once")
    else:
        values = dict(given)
        name = values.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ConfigurationError(f"fault {name!r} is unknown: write one of {', '.join(KINDS)}")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        fields = [field.alias or own for own, field in kind.model_fields.items()]
        raise ConfigurationError(
            f"fault {kind.name}: {first['loc'][0]}: {first['msg']}; it takes {', '.join(fields)}"
        ) from None


@dataclass(slots=True)
class _Posted:
    """A fault on the board: how many requests it was for (`seen`), how many it hit (`used`)."""

    id: int
    fault: Fault
    since: float
    seen: int = 0
    used: int = 0

    def active(self, tick: float) -> bool:
        """Whether it may still hit a request."""
        times, seconds = self.fault.times, self.fault.seconds
        return (times is None or self.used < times) and (
            seconds is None or tick < self.since + seconds
        )


class FaultBoard:
    """The faults that are set. Safe to use from threads; `ticks` gives seconds from any start."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._lock = threading.Lock()
        self._posted: list[_Posted] = []
        self._ids = count(1)

    def add(self, *faults: Fault | str | Mapping[str, Any]) -> list[int]:
        """Set faults, all or none; returns their ids. Raises ConfigurationError."""
        made = [item if isinstance(item, Fault) else fault(item) for item in faults]
        with self._lock:
            tick = self._ticks()
            posted = [_Posted(next(self._ids), item, tick) for item in made]
            self._posted += posted
        return [item.id for item in posted]

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._posted.clear()

    def listed(self) -> list[dict[str, Any]]:
        """What is set, in the order in which it was, with what came of it so far."""
        with self._lock:
            tick = self._ticks()
            return [
                {
                    "id": posted.id,
                    "fault": str(posted.fault),
                    "seen": posted.seen,
                    "used": posted.used,
                    "active": posted.active(tick),
                }
                for posted in self._posted
            ]

    def due(self, target: str) -> list[Fault]:
        """The faults that hit this request, and count it: `target` is its path and query.

        Of those that spoil a whole reply only the oldest is used, so that several make a sequence.
        """
        with self._lock:
            tick = self._ticks()
            chosen: list[_Posted] = []
            for posted in self._posted:
                its = posted.fault.on in target and posted.fault.path in target
                if not its or not posted.active(tick):
                    continue
                posted.seen += 1
                taken = posted.fault.alone and any(other.fault.alone for other in chosen)
                if posted.seen > posted.fault.after and not taken:
                    chosen.append(posted)
            for posted in chosen:
                posted.used += 1
            return [posted.fault for posted in chosen]


def control(board: FaultBoard, method: str, path: str, body: bytes) -> Reply:
    """Answer one request to the control endpoint."""
    if path != _FAULTS:
        return wire.ROUTE_NOT_FOUND
    if method == "GET":
        return wire.as_json(board.listed())
    if method == "DELETE":
        board.clear()
        return Reply(204, b"")
    try:
        ids = board.add(*_posted(body))
    except ConfigurationError as error:
        return wire.problem("SANDBOX|FAULT_IS_INVALID", str(error))
    return wire.as_json([item for item in board.listed() if item["id"] in ids], 201)


def _posted(body: bytes) -> list[str | Mapping[str, Any]]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    items = data if isinstance(data, list) else [data]
    if not items or not all(isinstance(item, str | dict) for item in items):
        raise ConfigurationError(
            'write one fault or a list of them as JSON, such as "status=503,times=3" or '
            '{"kind": "status", "value": 503, "times": 3}'
        )
    return items
