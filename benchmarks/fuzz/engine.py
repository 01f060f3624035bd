"""Mutation of bytes, guided by coverage: what reaches a new line is kept and changed further.

An input that breaks something is made as short as it goes before it is shown. Everything hangs on the
seed and the inputs, so that a finding can be repeated from what is printed.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

Target = Callable[[bytes], None]
"""Takes any bytes; raises where they break a promise."""

_LONGEST: Final = 20_000
_SLOW: Final = 5.0
_KEPT: Final = 400


@dataclass(frozen=True)
class Finding:
    """An input that breaks a promise, and how."""

    data: bytes
    problem: str


@dataclass(frozen=True)
class Outcome:
    """What a search did: the inputs tried, the lines of the application reached, and what was found."""

    tried: int
    lines: int
    kept: int
    finding: Finding | None


class Coverage:
    """The lines of the application that a call reaches."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.seen: set[tuple[str, int]] = set()
        self._new = False

    def reaches_more(self, call: Callable[[], None]) -> bool:
        """Run the call; whether it reached a line that none before it had."""
        self._new = False
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(before)
        return self._new

    def _enter(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(self._folder) else None

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            place = (frame.f_code.co_filename, frame.f_lineno)
            if place not in self.seen:
                self.seen.add(place)
                self._new = True
        return self._line


def search(
    target: Target,
    seeds: Sequence[bytes],
    words: Sequence[bytes],
    seconds: float,
    chance: random.Random,
    folder: str,
    now: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Try inputs for so many seconds, or until one breaks a promise."""
    coverage = Coverage(folder)
    kept: list[bytes] = []
    tried = 0
    began = now()
    waiting = list(seeds)
    while waiting or now() - began < seconds:
        data = waiting.pop(0) if waiting else mutated(chance, kept or list(seeds), words)
        tried += 1
        problem, new = _attempt(target, data, coverage, now)
        if problem is not None:
            short = shortest(target, data, problem, now)
            return Outcome(tried, len(coverage.seen), len(kept), Finding(short, problem))
        if new:
            kept.append(data)
            del kept[:-_KEPT]
    return Outcome(tried, len(coverage.seen), len(kept), None)


def _attempt(
    target: Target, data: bytes, coverage: Coverage, now: Callable[[], float]
) -> tuple[str | None, bool]:
    found: list[str] = []

    def call() -> None:
        problem = problem_of(target, data, now)
        if problem is not None:
            found.append(problem)

    new = coverage.reaches_more(call)
    return (found[0] if found else None), new


def problem_of(target: Target, data: bytes, now: Callable[[], float]) -> str | None:
    """How an input breaks a promise, as one line; None where it breaks none."""
    began = now()
    try:
        target(data)
    except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
        return f"{type(error).__name__}: {error}"[:500]
    took = now() - began
    return f"it took {took:.1f} s" if took > _SLOW else None


def shortest(target: Target, data: bytes, problem: str, now: Callable[[], float]) -> bytes:
    """A shorter input with a problem of the same kind, by leaving out ever smaller pieces."""
    kind = problem.partition(":")[0]
    size = max(1, len(data) // 2)
    give_up = now() + 20.0
    while size >= 1 and now() < give_up:
        at = 0
        while at < len(data) and now() < give_up:
            shorter = data[:at] + data[at + size :]
            found = problem_of(target, shorter, now)
            if found is not None and found.partition(":")[0] == kind:
                data = shorter
            else:
                at += size
        size //= 2
    return data


def mutated(chance: random.Random, corpus: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """A change, or several, of an input that is known."""
    data = bytearray(chance.choice(corpus))
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.choice((1, 1, 2, 4, 16, 64)))
        match chance.randrange(8):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = data[at:end] * chance.choice((1, 2, 50))
            case 2:
                data[at:end] = chance.choice(words)
            case 3:
                data[at:at] = chance.choice(words)
            case 4:
                data[at:end] = bytes(chance.randrange(256) for _ in range(end - at))
            case 5:
                other = chance.choice(corpus)
                cut = chance.randint(0, len(other))
                data[at:] = other[cut:]
            case 6 if at < end:
                data[at] ^= 1 << chance.randrange(8)
            case _:
                data[at:end] = str(chance.choice((0, -1, 2**31, 2**63, 10**30))).encode()
        del data[_LONGEST:]
    return bytes(data)
