"""Faults of the stand-in as data, and the board on which they stand until they are used up.

A fault is written `KIND[=VALUE][,NAME=VALUE…]`, such as `status=429,retry-after=7,times=3`;
`app.sandbox.fault_kinds` lists the kinds. Beside its own parameters each takes `path` (only requests
whose path and query contain this text), `after` (let so many of them pass first), `times` (how many it
hits; without it, all) and `seconds` (for how long from now on).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from app.core.errors import ConfigurationError
from app.sandbox.fault_kinds import COMMON, KINDS
from app.sandbox.fault_parameters import Acts, Kind

MOST: Final = 1_000
"""Faults that a board holds at most, used up or not."""

_ALONE: Final = (Acts.REPLY, Acts.SENDING)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `given` holds each of its parameters as text, defaults included, checked."""

    kind: Kind
    given: Mapping[str, str]

    def __str__(self) -> str:
        every = {**self.kind.parameters, **COMMON}
        options = [
            f"{name}={value}"
            for name, value in self.given.items()
            if name != "value" and value != (every[name].default or "")
        ]
        value = f"={self.given['value']}" if "value" in self.given else ""
        return ",".join([f"{self.kind.name}{value}", *options])

    def text(self, name: str = "value") -> str:
        """One parameter as it was written."""
        return self.given[name]

    def number(self, name: str = "value") -> float:
        """One parameter as a number."""
        return float(self.given[name])

    @classmethod
    def parse(cls, spec: str) -> Fault:
        """Read `KIND[=VALUE][,NAME=VALUE…]`. Raises ConfigurationError: one line that says what to write.

        A value with a comma in it can only be given as JSON (`of`).
        """
        head, *rest = spec.split(",")
        name, equals, value = head.strip().partition("=")
        given: dict[str, Any] = {"kind": name, **({"value": value} if equals else {})}
        for item in rest:
            name, equals, value = item.strip().partition("=")
            if not equals or name in given:
                raise ConfigurationError(
                    f"fault {spec!r}: {item.strip()!r} must be one more NAME=VALUE, each name once"
                )
            given[name] = value
        return cls.of(given)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Fault:
        """Make a fault of `{"kind": …, "value": …, "times": …}`. Raises ConfigurationError."""
        name = given.get("kind")
        kind = KINDS.get(name) if isinstance(name, str) else None
        if kind is None:
            raise ConfigurationError(f"fault {name!r} is unknown: write one of {', '.join(KINDS)}")
        parameters = {**kind.parameters, **COMMON}
        texts = {key: _text(value) for key, value in given.items() if key != "kind"}
        for key, text in texts.items():
            parameter = parameters.get(key)
            if parameter is None:
                raise ConfigurationError(
                    f"fault {kind.name} has no {key}: it takes {', '.join(parameters)}"
                )
            if text != parameter.default and not parameter.fits(text):
                raise ConfigurationError(
                    f"fault {kind.name}: {key} {text[:60]!r} must be {parameter.allowed}"
                )
        for key, parameter in parameters.items():
            if key not in texts and parameter.default is None:
                raise ConfigurationError(f"fault {kind.name} needs a value: {parameter.allowed}")
        whole = {key: texts.get(key, p.default or "") for key, p in parameters.items()}
        return cls(kind, MappingProxyType(whole))


def _text(value: object) -> str:
    """A JSON value as the text that would stand on the command line."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ConfigurationError(f"fault: {value!r} must be a text or a number")


@dataclass(slots=True)
class Posted:
    """A fault on the board: how many requests it was for (`seen`), how many it hit (`used`)."""

    id: int
    fault: Fault
    since: float
    seen: int = 0
    used: int = 0

    def active(self, tick: float) -> bool:
        """Whether it may still hit a request."""
        times, seconds = self.fault.text("times"), self.fault.text("seconds")
        return not (times and self.used >= int(times)) and not (
            seconds and tick >= self.since + float(seconds)
        )


class FaultBoard:
    """The faults that are set. Safe to use from threads; `ticks` gives seconds from any start."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._lock = threading.Lock()
        self._posted: list[Posted] = []
        self._last_id = 0

    def add(self, *faults: Fault | str) -> list[int]:
        """Set faults, all or none; returns their ids. Raises ConfigurationError."""
        made = [Fault.parse(item) if isinstance(item, str) else item for item in faults]
        with self._lock:
            if len(self._posted) + len(made) > MOST:
                raise ConfigurationError(f"{MOST} faults are set already: remove some first")
            ids = []
            for fault in made:
                self._last_id += 1
                self._posted.append(Posted(self._last_id, fault, self._ticks()))
                ids.append(self._last_id)
        return ids

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._posted.clear()

    def remove(self, number: int) -> bool:
        """Remove one fault by its id; False where there is none."""
        with self._lock:
            kept = [posted for posted in self._posted if posted.id != number]
            found = len(kept) < len(self._posted)
            self._posted = kept
        return found

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

    def due(self, target: str, subject: str) -> list[Fault]:
        """The faults that hit this request, and count it: `target` is its path and query.

        Of those that spoil a whole reply only the oldest is used; where that one stands in place of
        the reply, nothing that changes the reply is.
        """
        with self._lock:
            tick = self._ticks()
            due = [
                posted
                for posted in self._posted
                if subject in posted.fault.kind.subjects
                and posted.fault.text("path") in target
                and posted.active(tick)
            ]
            ready = []
            for posted in due:
                posted.seen += 1
                if posted.seen > int(posted.fault.text("after")):
                    ready.append(posted)
            alone = next((posted for posted in ready if posted.fault.kind.acts in _ALONE), None)
            chosen = [posted for posted in ready if posted.fault.kind.acts not in _ALONE]
            if alone is not None:
                chosen = [alone, *(chosen if alone.fault.kind.acts is Acts.SENDING else ())]
            for posted in chosen:
                posted.used += 1
            return [posted.fault for posted in chosen]
