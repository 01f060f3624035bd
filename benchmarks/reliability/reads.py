"""Readers that ask an API without pause, and what each of them met."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.support.processes import Server

READERS: Final = 4


@dataclass(frozen=True, slots=True)
class Read:
    """One request: when it began, how long it took, its status, 0 where there was no answer."""

    begun: float
    seconds: float
    status: int
    target: str


@contextmanager
def readers(server: Server, targets: Sequence[str], many: int = READERS) -> Iterator[list[Read]]:
    """Ask for the targets in turn until the block ends; reads come in the order of their ends."""
    over = threading.Event()
    reads: list[Read] = []

    def ask(number: int) -> None:
        while not over.is_set():
            target = targets[number % len(targets)]
            number += 1
            begun = time.monotonic()
            try:
                status = server.ask("GET", target)[0]
            except OSError:
                status = 0
            reads.append(Read(begun, time.monotonic() - begun, status, target))

    threads = [threading.Thread(target=ask, args=[number]) for number in range(many)]
    for thread in threads:
        thread.start()
    try:
        yield reads
    finally:
        over.set()
        for thread in threads:
            thread.join()
