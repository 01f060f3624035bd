"""The listeners of events. `app.bootstrap` says which listener hears which event."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import Final

from app.core.logging import structlog
from app.core.market import WINDOWS, AverageSlice, Series, Window
from app.domain.fixed_point import text
from app.events.types import AnomalyDetected, AveragesCalculated, Event, PriceCollected

_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")

Read = Callable[[Series, Window], AverageSlice]


def log_line(event: Event) -> None:
    """Log the event as `candles_loaded` and so on, with its fields; a series becomes two fields."""
    values: dict[str, object] = {}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Series):
            values |= value.named()
        else:
            values[field.name] = value if isinstance(value, int | bool) else str(value)
    structlog.get_logger().info(_CAPITAL.sub("_", type(event).__name__).lower(), **values)


def cache_warming(read: Read) -> Callable[[AveragesCalculated], None]:
    """Return a listener that reads each window's served period into the shared cache."""

    def warm(event: AveragesCalculated) -> None:
        for window in WINDOWS:
            read(event.series, window)

    return warm


class AnomalyEpisodes:
    """Listeners that warn once per episode.

    An episode lasts from a symbol's first anomaly to its next normal price.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()

    def detected(self, event: AnomalyDetected) -> None:
        """Warn if the event begins an episode."""
        if event.symbol in self._open:
            return
        self._open.add(event.symbol)
        structlog.get_logger().warning(
            "anomaly_detected",
            symbol=event.symbol,
            price=text(event.price),
            currency=event.currency,
            reason=event.reason,
        )

    def collected(self, event: PriceCollected) -> None:
        """End the episode with the first normal price.

        A stale price does not count, nor does one that could not be judged.
        """
        if event.anomalous is not False or event.stale or event.symbol not in self._open:
            return
        self._open.discard(event.symbol)
        structlog.get_logger().info("anomaly_ended", symbol=event.symbol, price=text(event.price))
