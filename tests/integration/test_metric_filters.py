"""The metric filters of infra/terraform, held against lines that the commands really write.

An alarm on a line that nobody writes never rings, and one on silence rings for ever.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from app.commands.command import Terminated, command_parser, run
from app.core.errors import UpstreamBlocked, UpstreamUnavailable
from app.core.logging import configure
from app.core.market import AverageSlice, Series, Window
from app.core.prices import Coin, SpotPrice
from app.core.settings import Settings
from app.services.prices import Collection
from app.testing.series import MemorySeriesStore
from app.workers.price_collector import loop
from tests.support import metric_filters
from tests.support.api import NOW, FakePrices, FakeRuntime, serving, settings
from tests.support.commands import BTC, Service, days_ago, service
from tests.support.logs import log_as_before
from tests.support.processes import ROOT

FILTERS: dict[str, dict[str, str]] = json.loads(
    (ROOT / "infra" / "terraform" / "metric_filters.json").read_text()
)


def found(name: str, log: str) -> list[float | None]:
    """What the named filter makes of a log: a number for each line that it finds."""
    asked = FILTERS[name]
    return [
        metric_filters.metric(asked["value"], line)
        for line in log.splitlines()
        if metric_filters.matches(asked["pattern"], line)
    ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Service]:
    """A service of one pair with 20 days, nothing loaded yet."""
    with service(tmp_path) as made:
        yield made


def test_a_healthy_day_is_a_load_and_a_heartbeat_that_counts_nothing(shop: Service) -> None:
    log = shop.run("workers.incremental_loader").said
    assert found("LoadFinished", log) == [1]
    assert found("LoadFailed", log) == []
    # A heartbeat is logged at every level.
    log = shop.run("monitoring.gap_monitor", LOG_LEVEL="ERROR").said
    assert found("MonitorHeartbeat", log) == [1]
    assert found("MonitorFailed", log) == []
    assert found("MissingBuckets", log) == [0]
    assert found("StaleSeries", log) == [0]


def test_missing_candles_are_a_failed_monitor_and_their_number(shop: Service) -> None:
    shop.exchange.book.remove(BTC, (days_ago(6), days_ago(3)))
    assert shop.run("workers.incremental_loader").code == 0
    log = shop.run("monitoring.gap_monitor").said
    assert found("MonitorFailed", log) == [1]
    assert found("MissingBuckets", log) == [3]
    assert found("StaleSeries", log) == [0]
    for table in ("averages", "candles", "series"):
        shop.query(f"DELETE FROM {table}")
    assert found("StaleSeries", shop.run("monitoring.gap_monitor").said) == [1]


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [([], {}), ([], {"HISTORY_DAYS": "many", "LOG_FORMAT": "console"}), (["--repare"], {})],
)
def test_a_monitor_that_cannot_check_still_has_a_heartbeat_and_counts_as_failed(
    shop: Service, arguments: list[str], settings: dict[str, str]
) -> None:
    """There is no database; the settings cannot be read, so that the line is JSON all the same."""
    done = shop.run("monitoring.gap_monitor", *arguments, **settings)
    assert done.code == 2
    assert found("MonitorHeartbeat", done.said) == [1]
    assert found("MonitorFailed", done.said) == [1]
    # Nothing was counted, and a 0 would say that nothing is missing.
    assert found("MissingBuckets", done.said) == []
    assert found("StaleSeries", done.said) == []


def test_an_exchange_that_is_away_is_a_failed_load(shop: Service) -> None:
    away = {"MB_API_BASE_URL": "http://127.0.0.1:9", "UPSTREAM_RETRY_SECONDS": "0.1"}
    log = shop.run("workers.incremental_loader", **away).said
    assert found("LoadFailed", log) == [1]
    assert found("LoadFinished", log) == []


def test_a_command_that_crashes_is_a_failed_load(capsys: pytest.CaptureFixture[str]) -> None:
    def crash(_settings: Settings, _options: Namespace) -> int:
        raise ZeroDivisionError

    with log_as_before():
        assert run("incremental_loader", command_parser("a.loader", None), [], crash) == 1
    assert found("LoadFailed", capsys.readouterr().err) == [1]


def test_each_collection_counts_the_prices_that_it_stored() -> None:
    made, stream = FakeRuntime().build(settings()), StringIO()
    prices = tuple(SpotPrice(Coin.parse(name), 1, "usd", NOW) for name in ("BTC", "ETH", "SOL"))
    stored = tuple(made.prices.add(prices, NOW))

    def terminated(_seconds: float) -> None:
        raise Terminated

    with log_as_before():
        configure("INFO", "json", stream)
        loop(made, lambda: Collection(stored, (), NOW), wait=terminated)
    assert found("PricesCollected", stream.getvalue()) == [3]


def test_a_request_counts_as_failed_where_an_operator_must_act_and_not_where_the_upstream_is_busy() -> (
    None
):
    stream = StringIO()
    source = FakePrices()
    with log_as_before(), serving(FakeRuntime(price_source=source)) as api:
        configure("INFO", "json", stream)
        assert api.get("/healthz").status == 200
        assert api.get("/nothing-here").status == 404
        for trouble in (
            UpstreamUnavailable("It is away.", host="source"),
            UpstreamBlocked("It refuses the key.", host="source"),
        ):
            source.trouble = trouble
            assert api.ask("POST", "/collect-once/BTC").status == 503
    assert stream.getvalue().count('"event": "http_request"') == 4
    assert found("RequestsFailed", stream.getvalue()) == [1]


class BrokenStore(MemorySeriesStore):
    """A store with a fault of ours in it."""

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        raise ZeroDivisionError


def test_a_request_that_crashes_counts() -> None:
    stream = StringIO()
    with log_as_before(), serving(FakeRuntime(store=BrokenStore())) as api:
        configure("INFO", "json", stream)
        assert api.get("/BRLBTC/mms?range=20").status == 500
    assert found("RequestsFailed", stream.getvalue()) == [1]


def test_every_filter_was_held_against_a_line() -> None:
    """The file's own text names each of them, so that a new filter asks for its test."""
    text = Path(__file__).read_text()
    assert FILTERS
    assert [name for name in FILTERS if f'found("{name}"' not in text] == []


def test_a_filter_on_a_line_that_nobody_writes_would_be_noticed() -> None:
    line = '{"event": "monitor_heartbeat", "exit_code": 1, "missing": 3}'
    assert metric_filters.matches('{ $.event = "monitor_heartbeat" && $.exit_code != 0 }', line)
    assert not metric_filters.matches('{ $.event = "monitor_heartbeat" && $.code != 0 }', line)
    assert not metric_filters.matches('{ $.event = "heartbeat" }', line)
    assert not metric_filters.matches('{ $.event = "monitor_heartbeat" }', "monitor_heartbeat")
    assert metric_filters.metric("$.missing", line) == 3
    assert metric_filters.metric("$.gone", line) is None
    with pytest.raises(ValueError, match="no pattern"):
        metric_filters.matches("monitor_heartbeat", line)
