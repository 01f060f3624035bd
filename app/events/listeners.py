"""What happens when something has happened. `app.bootstrap` says which listener hears what."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final

import structlog

from app.events.types import AnomalyDetected, Event
from app.utils.fixed_point import text

_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")


def log_line(event: Event) -> None:
    """Log the event under its own name (`candles_loaded`), with its values."""
    found = {field.name: getattr(event, field.name) for field in fields(event)}
    values = {k: v if isinstance(v, int | bool) else str(v) for k, v in found.items()}
    structlog.get_logger().info(_CAPITAL.sub("_", type(event).__name__).lower(), **values)


def warn_of_anomaly(event: AnomalyDetected) -> None:
    """Warn of a stored price that is out of the ordinary."""
    structlog.get_logger().warning(
        "anomaly_detected",
        symbol=event.symbol,
        price=text(event.price),
        currency=event.currency,
        reason=event.reason,
    )
