"""What commands show: progress with an ETA while they work, a summary or JSON at the end.

Without --json, standard output has what is for people: tables, sentences, a price. With it,
standard output has the line of JSON and nothing else, and the rest goes to standard error.

Either may be a pipe whose reader has left, or a file on a full disk. That ends no work
(`delivered`). `mms --help` imports this module, so the imports for progress are made only there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Final, TextIO, cast

from app.core.redaction import redacted

UNDELIVERED: Final = 3
"""The exit code of a command that did its work, and whose output was not taken."""

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
    """`advance`, but never beyond a task's total. Each task is advanced by one thread at a time.

    The totals are planned before a load has its lease, and its own plan may be longer by then.
    """
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

    `lost` is that failure. `undelivered` says whether a result was lost. With `json_only` it takes
    nothing but the line of JSON.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.closed_at_start = stream is None
        self.lost: OSError | None = None
        self.undelivered = False
        self.json_only = False

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

    def _lose(self, error: OSError) -> None:
        self.lost = error
        _lead_nowhere(cast(TextIO, self._stream))


class _StandardError:
    """Standard error that drops what cannot be written: no work ends for its log.

    The next line is tried again: a disk may have room by then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write if possible."""
        with suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush if possible."""
        with suppress(OSError):
            self._stream.flush()

    def end(self) -> None:
        """Flush for the last time."""
        try:
            self._stream.flush()
        except OSError:
            _lead_nowhere(self._stream)


def _lead_nowhere(stream: TextIO) -> None:
    """Drop what is left in a stream's buffer: it would fail again when the interpreter ends."""
    with suppress(OSError):
        descriptor = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def delivered(command: str, work: Callable[[], int | None]) -> int:
    """Do the work, even where its output cannot be written; returns its exit code, 0 for None.

    Output that standard output does not take is dropped, one line on standard error says so, and an
    exit code of 0 becomes UNDELIVERED. A reader who leaves in the middle of a table, as `head`
    does, has what it wants: that changes nothing, unless a `result` is lost.
    """
    stdout = _StandardOutput(sys.stdout)
    with ExitStack() as ending:
        # A process that was started without standard error has None in its place.
        stream = sys.stderr or ending.enter_context(Path(os.devnull).open("w"))
        stderr = _StandardError(stream)
        ending.callback(stderr.end)
        ending.enter_context(redirect_stderr(cast(TextIO, stderr)))
        with redirect_stdout(cast(TextIO, stdout)):
            code = work() or 0
        if stdout.lost is None and not stdout.undelivered:
            return code
        if isinstance(stdout.lost, BrokenPipeError) and not stdout.undelivered:
            return code
        reason = "it is closed" if stdout.lost is None else stdout.lost.strerror or stdout.lost
        say(f"{command}: ended, but its output is lost (standard output: {reason})")
        return code or UNDELIVERED


_unread = False


@contextmanager
def nobody_reads() -> Iterator[None]:
    """Drop what a command with --json says to people: a program starts it and reads the JSON."""
    global _unread  # noqa: PLW0603 - the command is run by its name, so no argument reaches it
    _unread = True
    try:
        yield
    finally:
        _unread = False


def json_only() -> None:
    """Keep standard output for the line of JSON: the command was started with --json."""
    if isinstance(sys.stdout, _StandardOutput):
        sys.stdout.json_only = True


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their headings, in aligned columns, as `line` does."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(head))]
    for row in cells:
        line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def line(text: str) -> None:
    """Print one line for people: to standard output, with --json to standard error."""
    if not (isinstance(sys.stdout, _StandardOutput) and sys.stdout.json_only):
        print(redacted(text), flush=True)
    elif not _unread:
        say(text)


def result(text: str) -> None:
    """Print the command's result as `line` does: without --json it is what a reader must get."""
    line(text)
    _require_delivery()


def json_line(value: Mapping[str, Any]) -> None:
    """Print one line of JSON as the result: the machine's summary, all of standard output."""
    print(redacted(json.dumps(value, separators=(",", ":"))), flush=True)
    _require_delivery()


def _require_delivery() -> None:
    if isinstance(sys.stdout, _StandardOutput):
        sys.stdout.undelivered = sys.stdout.lost is not None or sys.stdout.closed_at_start


def say(text: str) -> None:
    """Print one line to standard error: what a command is doing, or why it ended."""
    print(redacted(text), file=sys.stderr, flush=True)
