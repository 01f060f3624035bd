"""What happens when something has happened. `app.bootstrap` says which listener hears what."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Final

import structlog

from app.core.market import WINDOWS, AverageSlice, Interval, Pair, Window
from app.events.types import AveragesCalculated, Event

_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")

Read = Callable[[Pair, Interval, Window], AverageSlice]


def log_line(event: Event) -> None:
    """Log the event under its own name (`candles_loaded`), with its values."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    values |= {"pair": str(event.pair), "interval": str(event.interval)}
    structlog.get_logger().info(_CAPITAL.sub("_", type(event).__name__).lower(), **values)


def cache_warming(read: Read) -> Callable[[AveragesCalculated], None]:
    """A listener that reads each window's served period, so that the shared cache holds it."""

    def warm(event: AveragesCalculated) -> None:
        for window in WINDOWS:
            read(event.pair, event.interval, window)

    return warm
