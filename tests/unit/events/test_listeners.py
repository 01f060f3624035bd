"""What happens when something has happened."""

from __future__ import annotations

from dataclasses import fields

import pytest
import structlog

from app.core.market import EMPTY_SERIES, WINDOWS, AverageSlice, Series, Window
from app.events import types
from app.events.bus import EventBus
from app.events.listeners import AnomalyEpisodes, cache_warming, log_line
from app.events.types import (
    AnomalyDetected,
    AveragesCalculated,
    Event,
    GapDetected,
    PriceCollected,
)
from tests.support.candles import BTC_DAILY


def made(kind: type[Event]) -> Event:
    """An event of this kind, whatever its fields are."""
    known: dict[str, object] = {"series": BTC_DAILY}
    return kind(**{item.name: known.get(item.name, 1) for item in fields(kind)})


KINDS = [
    item
    for item in vars(types).values()
    if isinstance(item, type) and issubclass(item, Event) and fields(item)
]


def test_the_log_line_has_the_events_name_and_its_values() -> None:
    with structlog.testing.capture_logs() as logged:
        log_line(GapDetected(BTC_DAILY, 86_400, 172_800, gaps=1, count=2, causes="absent 2"))
    said = {"first": 86_400, "last": 172_800, "gaps": 1, "count": 2, "causes": "absent 2"}
    of_series = {"pair": "BRLBTC", "interval": "1d", "log_level": "info"}
    assert logged == [{"event": "gap_detected", **said, **of_series}]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_can_be_logged(kind: type[Event]) -> None:
    with structlog.testing.capture_logs() as logged:
        log_line(made(kind))
    [line] = logged
    assert line.keys() - {"event", "log_level"} == {
        name
        for item in fields(kind)
        for name in (["pair", "interval"] if item.name == "series" else [item.name])
    }


def test_events_are_counted_by_kind() -> None:
    bus = EventBus({})
    for kind in [*KINDS, GapDetected]:
        bus.publish(made(kind))
    assert bus.close()
    assert bus.counts() == {k.__name__: 1 for k in KINDS} | {"GapDetected": 2, "dropped": 0}


def detected(symbol: str) -> AnomalyDetected:
    return AnomalyDetected(symbol, 6_360_000_000_000, "usd", "The price rose by 6 %.")


def collected(
    symbol: str, *, anomalous: bool | None = False, stale: bool = False
) -> PriceCollected:
    return PriceCollected(symbol, 6_360_000_000_000, "usd", 1, 2, stale, anomalous)


def test_an_anomaly_is_warned_of_once_until_the_price_is_normal_again() -> None:
    episodes = AnomalyEpisodes()
    happened = [
        *[collected("BTC"), detected("BTC"), collected("BTC", anomalous=True)],
        *[detected("BTC"), collected("BTC", anomalous=True)],
        # Neither of these says that it is over.
        *[collected("BTC", stale=True), collected("BTC", anomalous=None)],
        *[detected("BTC"), collected("BTC", anomalous=True)],
        *[detected("ADA"), collected("ADA", anomalous=True)],
        *[collected("BTC"), collected("BTC")],
        *[detected("BTC"), collected("BTC", anomalous=True)],
    ]
    with structlog.testing.capture_logs() as logged:
        for event in happened:
            if isinstance(event, AnomalyDetected):
                episodes.detected(event)
            elif isinstance(event, PriceCollected):
                episodes.collected(event)
    said = [(line["event"], line["symbol"], line["log_level"]) for line in logged]
    assert said == [
        ("anomaly_detected", "BTC", "warning"),
        ("anomaly_detected", "ADA", "warning"),
        ("anomaly_ended", "BTC", "info"),
        ("anomaly_detected", "BTC", "warning"),
    ]
    assert logged[0]["price"] == "63600.0"
    assert logged[0]["reason"] == "The price rose by 6 %."


def test_the_cache_is_warmed_with_each_window_of_the_series() -> None:
    read: list[tuple[Series, Window]] = []

    def record(series: Series, window: Window) -> AverageSlice:
        read.append((series, window))
        return AverageSlice(EMPTY_SERIES, 0, b"[]\n")

    cache_warming(record)(AveragesCalculated(BTC_DAILY, buckets=3, revision=9))
    assert read == [(BTC_DAILY, window) for window in WINDOWS]
