"""What commands show: progress with an ETA while they work, a summary and JSON at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[str, int], None]
"""Told the name of a task and how many of its units were just done."""

LINE_EVERY: Final = 10.0
"""Seconds between two progress lines where there is no terminal."""


@contextmanager
def progress(totals: Mapping[str, int]) -> Iterator[Advance]:
    """Show the progress of named tasks: a bar each on a terminal, a line now and then elsewhere."""
    if sys.stderr.isatty():
        with _bars(totals) as advance:
            yield advance
    else:
        yield lines(totals, time.monotonic)


@contextmanager
def _bars(totals: Mapping[str, int]) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {name: bars.add_task(name, total=total) for name, total in totals.items()}
        yield lambda name, done: bars.advance(tasks[name], done)


def lines(totals: Mapping[str, int], clock: Callable[[], float]) -> Advance:
    """Progress as log lines, at most one every `LINE_EVERY` seconds, with the time that is left."""
    log = structlog.get_logger()
    lock = Lock()
    begun = said = clock()
    whole = sum(totals.values())
    done = 0

    def advance(name: str, units: int) -> None:
        nonlocal said, done
        with lock:
            done += units
            now = clock()
            if now - said < LINE_EVERY or done == 0:
                return
            said = now
            left = (now - begun) / done * max(0, whole - done)
            log.info("load_progress", task=name, done=done, of=whole, eta_seconds=round(left))

    return advance


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings, in aligned columns, to standard output."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    for row in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def line(text: str) -> None:
    """Print one line to standard output."""
    print(text)


def json_line(value: Mapping[str, Any]) -> None:
    """Print one line of JSON to standard output: the machine's summary, always the last line."""
    print(json.dumps(value, separators=(",", ":")), flush=True)
