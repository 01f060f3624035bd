"""Logging: one pipeline to standard error for our own events and for every library's records.

An event has a constant name and fields: `log.info("load_finished", pair="BRLBTC", inserted=564)`.
On a terminal it is coloured text, elsewhere one JSON object per line. Libraries log through the
standard library; their message becomes the event, and their logger's name becomes a field.

Every line goes through one `Output`. Lines of requests may wait there until the event loop's turn
ends; any other line writes those first, so the order is that of the events.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, Literal, TextIO

from app.core import redaction

# Where Rich is installed structlog imports it, for tracebacks that we never print, at the cost of
# memory and of a part of each start. So it is hidden from structlog, which every module gets from
# here.
_rich = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment] # what is None there cannot be imported
try:
    import structlog
    from structlog.typing import EventDict, Processor
finally:
    del sys.modules["rich"]
    if _rich is not None:
        sys.modules["rich"] = _rich

__all__ = ["Format", "Level", "always", "configure", "structlog"]

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Format = Literal["auto", "console", "json"]

# Loggers that uvicorn gives handlers of its own before the application starts.
_SERVER: Final = ("uvicorn", "uvicorn.error", "uvicorn.access")
_SERVER_ACCESS: Final = "uvicorn.access"

_SECRET_FIELD: Final = re.compile(
    r"(?:^|_)(?:password|passwd|pwd|secret|token|api_?key|auth|authorization|jwt|signature|cookie)s?$",
    re.IGNORECASE,
)

WHOLE: Final = 4_096
"""Bytes that a pipe takes in one piece (PIPE_BUF of Linux). Processes that share one standard error
would mix the lines of longer writes."""


class Output:
    """Where the log's lines go: whole and in order, from any thread. It is structlog's logger.

    Without its own stream, the log follows standard error wherever that is redirected.
    """

    def __init__(self, stream: TextIO | None, *, level: Level, json: bool) -> None:
        self._stream = stream
        # Re-entrant: while a line is written, the garbage collector may run a finalizer that logs.
        self._lock = threading.RLock()
        self._waiting: list[str] = []
        self._characters = 0
        self.informs: Final = level in ("DEBUG", "INFO")
        self.json: Final = json

    def __call__(self, *_names: object) -> Output:
        """Be the factory of loggers, too: structlog asks for one per line."""
        return self

    def write(self, line: str) -> None:
        """Write a line at once. Raises OSError or ValueError where the stream fails."""
        with self._lock:
            self._write_waiting()
            self._put(f"{line}\n")

    debug = info = warning = error = critical = write

    def write_soon(self, line: str) -> None:
        """Write a line of ASCII, with its end, when the running event loop's turn ends.

        Without a loop it is written at once. A line that cannot be written is lost in silence: a
        request does not fail for its log.
        """
        with self._lock:
            if self._characters + len(line) > WHOLE:
                self._write_waiting()
            self._waiting.append(line)
            self._characters += len(line)
            if len(self._waiting) > 1:
                return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write the lines that wait."""
        with self._lock:
            self._write_waiting()

    def _write_waiting(self) -> None:
        if self._waiting:
            text = "".join(self._waiting)
            self._waiting.clear()
            self._characters = 0
            with suppress(OSError, ValueError):
                self._put(_without_secrets(text))

    def _put(self, text: str) -> None:
        stream = sys.stderr if self._stream is None else self._stream
        stream.write(text)
        stream.flush()


def configure(
    level: Level = "INFO",
    style: Format = "auto",
    stream: TextIO | None = None,
    *,
    secrets: Iterable[str] = (),
) -> None:
    """Send all events from `level` up to `stream` (standard error by default), process-wide.

    A second call replaces the first. `auto` means `console` where the stream is a terminal, else
    `json`. No line shows any of `secrets`, and neither does what else leaves the process as text
    (`app.core.redaction`).
    """
    flush()
    redaction.hide(secrets)
    target = sys.stderr if stream is None else stream
    terminal = target.isatty()
    console = style == "console" or (style == "auto" and terminal)

    structlog.configure(
        processors=[*_shared(), *(_text(colors=terminal) if console else _json()), _redacted],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=Output(stream, level=level, json=not console),
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(level)


def output() -> Output | None:
    """What `configure` set up; None where something else has structlog's lines, as a test may."""
    config = structlog.get_config()
    factory = config["logger_factory"]
    ours = isinstance(factory, Output) and config["processors"][-1] is _redacted
    return factory if ours else None


def flush() -> None:
    """Write the lines that wait for the end of the event loop's turn."""
    factory = structlog.get_config()["logger_factory"]
    if isinstance(factory, Output):
        factory.flush()


def always() -> Any:
    """A logger that ignores the level, for a line whose absence is itself an alarm."""
    writer = structlog.get_config()["logger_factory"]()
    return structlog.wrap_logger(
        writer, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _without_secret_fields,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _json() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        _named_first,
        structlog.processors.JSONRenderer(),
    ]


def _text(*, colors: bool) -> list[Processor]:
    # The plain traceback: the decorated ones print local variables, and with them secrets.
    plain = structlog.dev.plain_traceback
    return [
        _without_control_characters,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain),
    ]


def _named_first(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Put the fields that every line has first, so that lines read from the left."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event")}
    return {**first, **event}


def _without_control_characters(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape characters that could drive a terminal or forge a line; JSON does so by itself."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in value)
    return event


def _redacted(_logger: object, _method: str, line: Any) -> str:
    """Take the secrets out of a whole line: out of every field, and of a traceback."""
    return _without_secrets(line)


def _without_secrets(text: str) -> str:
    return redaction.keyless(redaction.redacted(text))


def _without_secret_fields(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Hide what a field holds whose name says that it is a secret, ours or not."""
    for key in event:
        if _SECRET_FIELD.search(key):
            event[key] = redaction.MARK
    return event


class _ToStructlog(logging.Handler):
    """Hands a standard library record to structlog, so that there is one format and one writer."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # Levels between the named ones (uvicorn's TRACE is 5) count as the next lower name.
            level = max(logging.DEBUG, min(record.levelno, logging.CRITICAL) // 10 * 10)
            fields = {"logger": record.name}
            structlog.get_logger().log(
                level, record.getMessage(), exc_info=record.exc_info or None, **fields
            )
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - a logging handler must not raise
            self.handleError(record)


def _adopt_libraries(level: Level) -> None:
    root = logging.getLogger()
    for handler in [item for item in root.handlers if isinstance(item, _ToStructlog)]:
        root.removeHandler(handler)
    root.addHandler(_ToStructlog())
    root.setLevel(level)
    for name in _SERVER:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # Ours is the only access line. Without a handler to reach, uvicorn does not write its own.
        logger.propagate = name != _SERVER_ACCESS
    # A line per outgoing request, or per step of opening a database, adds nothing to the unit of
    # work's own line.
    for name in ("httpx", "httpcore", "alembic.runtime"):
        logging.getLogger(name).setLevel(logging.WARNING)
