"""Logging: one pipeline to standard error for our own events and for every library's records.

An event has a constant name and fields: `log.info("series_loaded", pair="BRLBTC", rows=564)`. On a
terminal it is coloured text, elsewhere one JSON object per line. Libraries log through the standard
library; their message becomes the event, and their logger's name becomes a field.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any, Final, Literal, TextIO

from app.core import redaction

# Where Rich is installed structlog imports it, for tracebacks that we never print: that takes 4 MB
# and a tenth of a start. So it is hidden from structlog, which every module gets from here.
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
    redaction.hide(secrets)
    target = sys.stderr if stream is None else stream
    terminal = target.isatty()
    console = style == "console" or (style == "auto" and terminal)

    def writer(*_names: object) -> structlog.WriteLogger:
        # Without its own stream, the log follows standard error wherever that is redirected.
        return structlog.WriteLogger(sys.stderr if stream is None else stream)

    structlog.configure(
        processors=[*_shared(), *(_text(colors=terminal) if console else _json()), _redacted],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=writer,
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(level)


def always() -> Any:
    """A logger that ignores the level, for a line whose absence is itself an alarm."""
    writer = structlog.get_config()["logger_factory"]()
    return structlog.wrap_logger(
        writer, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
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
    return redaction.redacted(line)


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
