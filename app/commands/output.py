"""What commands show: progress with an ETA while they work, a summary and JSON at the end.

Standard output may be a pipe whose reader has left, or a file on a full disk. That ends no work
(`delivered`). `mms --help` imports this module, so the imports for progress are made only there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from threading import Lock
from typing import Any, Final, TextIO, cast

from app.core.redaction import redacted

UNDELIVERED: Final = 3
"""The exit code of a command that did its work and could not deliver its result."""

Advance = Callable[[str, int], None]
"""Called with the name of a task and the number of its units that were just done."""

LINE_EVERY: Final = 10.0
"""Seconds between two progress lines where there is no terminal."""


@contextmanager
def progress(totals: Mapping[str, int]) -> Iterator[Advance]:
    """Show the progress of named tasks: a bar each on a terminal, now and then a line elsewhere.

    The bars are removed at the end. A task that does more than its total stays at its total.
    """
    if sys.stderr.isatty():
        with _bars(totals) as advance:
            yield _limited(advance, totals)
    else:
        yield _limited(lines(totals, time.monotonic), totals)


def _limited(advance: Advance, totals: Mapping[str, int]) -> Advance:
    """`advance`, but never beyond a task's total. Each task is advanced by one thread at a time."""
    left = dict(totals)

    def limited(name: str, done: int) -> None:
        units = min(done, left[name])
        left[name] -= units
        advance(name, units)

    return limited


@contextmanager
def _bars(totals: Mapping[str, int]) -> Iterator[Advance]:
    from rich.console import Console  # noqa: PLC0415 - only a load on a terminal needs it
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {name: bars.add_task(name, total=total) for name, total in totals.items()}
        yield lambda name, done: bars.advance(tasks[name], done)


def lines(totals: Mapping[str, int], clock: Callable[[], float]) -> Advance:
    """Progress as log lines, at most one every `LINE_EVERY` seconds, with the remaining time."""
    from app.core.logging import structlog  # noqa: PLC0415 - only a load needs it

    log = structlog.get_logger()
    lock = Lock()
    begun = logged_at = clock()
    whole = sum(totals.values())
    done = 0

    def advance(name: str, units: int) -> None:
        nonlocal logged_at, done
        with lock:
            done += units
            now = clock()
            if now - logged_at < LINE_EVERY or done == 0:
                return
            logged_at = now
            left = (now - begun) / done * (whole - done)
            log.info("load_progress", task=name, done=done, of=whole, eta_seconds=round(left))

    return advance


class _StandardOutput:
    """Standard output that drops everything after the first failed write.

    `lost` is that failure. `undelivered` says whether a result was lost.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost: OSError | None = None
        self.undelivered = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, unless a write failed before."""
        if self._stream is not None and self.lost is None:
            try:
                return self._stream.write(text)
            except UnicodeEncodeError as error:  # a coin's name, on a terminal without its letters
                escaped = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
                return self.write(escaped)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Flush, unless a write failed before."""
        if self._stream is not None and self.lost is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def forgive_reader(self) -> None:
        """Forget a failure that only means that the reader has left."""
        if isinstance(self.lost, BrokenPipeError):
            self.lost, self.undelivered = None, False

    def _lose(self, error: OSError) -> None:
        self.lost = error
        # The rest of the buffer would fail again when the interpreter ends.
        with suppress(OSError):
            descriptor = cast(TextIO, self._stream).fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def delivered(command: str, work: Callable[[], int | None]) -> int:
    """Do the work, even where its output cannot be written; returns its exit code, 0 for None.

    Output that standard output does not take is dropped, and one line on standard error says so.
    Where a `result` is lost, an exit code of 0 becomes UNDELIVERED.
    """
    stdout = _StandardOutput(sys.stdout)
    with redirect_stdout(cast(TextIO, stdout)):
        code = work() or 0
    if stdout.lost is None:
        return code
    reason = stdout.lost.strerror or stdout.lost
    say(f"{command}: ended, but its output is lost (standard output: {reason})")
    return UNDELIVERED if stdout.undelivered and code == 0 else code


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings, in aligned columns, to standard output."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    for row in cells:
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def line(text: str) -> None:
    """Print one line to standard output: for people; it is not the result itself."""
    print(redacted(text), flush=True)


def result(text: str) -> None:
    """Print the command's result to standard output."""
    line(text)
    if isinstance(sys.stdout, _StandardOutput):
        sys.stdout.undelivered = sys.stdout.lost is not None


def help_text(text: str) -> None:
    """Print a help or a version as a result; a reader who leaves early has lost nothing."""
    result(text)
    if isinstance(sys.stdout, _StandardOutput):
        sys.stdout.forgive_reader()


def json_line(value: Mapping[str, Any]) -> None:
    """Print one line of JSON as a result: the machine's summary, always the last line."""
    result(json.dumps(value, separators=(",", ":")))


def say(text: str) -> None:
    """Print one line to standard error: what a command is doing, or why it ended."""
    print(redacted(text), file=sys.stderr, flush=True)
