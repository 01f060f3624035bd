"""What happens when something has happened."""

from __future__ import annotations

from dataclasses import fields

import pytest
import structlog

from app.events import types
from app.events.listeners import log_line, warn_of_anomaly
from app.events.types import AnomalyDetected, Event, GapDetected
from tests.support.candles import BTC, DAY

KINDS = [
    item
    for item in vars(types).values()
    if isinstance(item, type) and issubclass(item, Event) and fields(item)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_can_be_logged(kind: type[Event]) -> None:
    known: dict[str, object] = {"pair": BTC, "interval": DAY}
    with structlog.testing.capture_logs() as logged:
        log_line(kind(**{item.name: known.get(item.name, 1) for item in fields(kind)}))
    [line] = logged
    assert line.keys() >= {item.name for item in fields(kind)}


def test_the_log_line_has_the_events_name_and_its_values() -> None:
    with structlog.testing.capture_logs() as logged:
        log_line(GapDetected(BTC, DAY, 86_400, 172_800, gaps=1, count=2, causes="absent 2"))
    said = {"first": 86_400, "last": 172_800, "gaps": 1, "count": 2, "causes": "absent 2"}
    of_series = {"pair": "BRLBTC", "interval": "1d", "log_level": "info"}
    assert logged == [{"event": "gap_detected", **said, **of_series}]


def test_an_anomaly_is_a_warning_with_its_price_and_reason() -> None:
    with structlog.testing.capture_logs() as logged:
        warn_of_anomaly(AnomalyDetected("BTC", 6_360_000_000_000, "usd", "It rose by 6 %."))
    said = {"symbol": "BTC", "price": "63600.0", "currency": "usd", "reason": "It rose by 6 %."}
    assert logged == [{"event": "anomaly_detected", "log_level": "warning", **said}]
