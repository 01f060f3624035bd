"""The metric filters of infra/terraform, held against lines that the commands really write.

An alarm on a line that nobody writes never rings, and one on silence rings for ever.
"""

from __future__ import annotations

import json
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from app.core.logging import configure
from app.core.market import DAY, AverageSlice, Interval, Pair, Window
from app.core.settings import Settings
from app.db.memory import MemorySeriesStore
from app.sandbox.exchange import COINGECKO_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.workers.run import command_parser, run
from tests.support import metric_filters
from tests.support.api import FakeRuntime, serving
from tests.support.logs import log_as_before
from tests.support.processes import ROOT, Server, ended, process, url_in_log

FILTERS: dict[str, dict[str, str]] = json.loads(
    (ROOT / "infra" / "terraform" / "metric_filters.json").read_text()
)
BTC = Pair("BTC", "BRL")
NOBODY = "http://127.0.0.1:9"
"""Nothing listens at the port for discarding."""


def found(name: str, log: str) -> list[float | None]:
    """What the named filter makes of a log: a number for each line that it finds."""
    asked = FILTERS[name]
    return [
        metric_filters.metric(asked["value"], line)
        for line in log.splitlines()
        if metric_filters.matches(asked["pattern"], line)
    ]


@dataclass
class Service:
    """Commands against one database and one stand-in exchange; each gives its exit code and log."""

    exchange: Exchange
    settings: dict[str, str]
    folder: Path

    def run(self, module: str, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run one command to its end."""
        given = self.settings | settings
        with process(self.folder, "-m", f"app.{module}", *arguments, **given) as child:
            return ended(child)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of one pair with 20 days, nothing loaded yet."""
    exchange = Exchange(Simulation(5, {BTC: None}), clock=time.time)
    with serve(exchange) as url:
        settings = {
            "MB_API_BASE_URL": url + V4_PATH,
            "MB_REQUESTS_PER_SECOND": "1000",
            "COINGECKO_API_BASE_URL": url + COINGECKO_PATH,
            "COINGECKO_REQUESTS_PER_SECOND": "1000",
            "UPSTREAM_RETRY_SECONDS": "10",
            "HISTORY_DAYS": "20",
            "ALLOWED_PAIRS": "BRLBTC",
        }
        yield Service(exchange, settings, tmp_path)


def test_a_healthy_day_is_a_load_and_a_heartbeat_that_counts_nothing(service: Service) -> None:
    code, log = service.run("workers.incremental_loader")
    assert code == 0
    assert found("LoadFinished", log) == [1]
    assert found("LoadFailed", log) == []
    code, log = service.run("monitoring.gap_monitor", "--repair")
    assert code == 0
    assert found("MonitorHeartbeat", log) == [1]
    assert found("MonitorFailed", log) == []
    assert found("MissingBuckets", log) == [0]
    assert found("StaleSeries", log) == [0]


def test_missing_candles_are_a_failed_monitor_and_their_number(service: Service) -> None:
    newest = Interval.DAY.last_closed(time.time())
    service.exchange.book.remove_span(BTC, (newest - 6 * DAY, newest - 3 * DAY))
    assert service.run("workers.incremental_loader")[0] == 0
    code, log = service.run("monitoring.gap_monitor")
    assert code == 1
    assert found("MonitorHeartbeat", log) == [1]
    assert found("MonitorFailed", log) == [1]
    assert found("MissingBuckets", log) == [3]
    assert found("StaleSeries", log) == [0]


def test_a_series_that_nobody_loads_is_stale(service: Service) -> None:
    assert service.run("db.migrate")[0] == 0
    code, log = service.run("monitoring.gap_monitor")
    assert code == 1
    assert found("StaleSeries", log) == [1]
    assert found("MonitorFailed", log) == [1]


def test_a_monitor_that_cannot_check_still_has_a_heartbeat_and_counts_as_failed(
    service: Service,
) -> None:
    code, log = service.run("monitoring.gap_monitor")
    assert code == 2
    assert found("MonitorHeartbeat", log) == [1]
    assert found("MonitorFailed", log) == [1]
    # Nothing was counted, and a 0 would say that nothing is missing.
    assert found("MissingBuckets", log) == []
    assert found("StaleSeries", log) == []


def test_a_monitor_with_a_bad_setting_still_has_a_heartbeat_and_counts_as_failed(
    service: Service,
) -> None:
    """Its settings cannot be read, LOG_FORMAT among them: the line is JSON all the same."""
    code, log = service.run("monitoring.gap_monitor", HISTORY_DAYS="many", LOG_FORMAT="json")
    assert code == 2
    assert found("MonitorHeartbeat", log) == [1]
    assert found("MonitorFailed", log) == [1]


@pytest.mark.parametrize("level", ["WARNING", "ERROR"])
def test_a_heartbeat_is_logged_at_every_level(service: Service, level: str) -> None:
    code, log = service.run("monitoring.gap_monitor", LOG_LEVEL=level)
    assert code == 2
    assert found("MonitorHeartbeat", log) == [1]
    assert service.run("workers.incremental_loader")[0] == 0
    code, log = service.run("monitoring.gap_monitor", LOG_LEVEL=level)
    assert code == 0
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["monitor_heartbeat"]
    assert found("MissingBuckets", log) == [0]


def test_a_monitor_whose_command_line_is_wrong_has_a_heartbeat_too(service: Service) -> None:
    code, log = service.run("monitoring.gap_monitor", "--repare")
    assert code == 2
    assert found("MonitorHeartbeat", log) == [1]
    assert found("MonitorFailed", log) == [1]


def test_an_exchange_that_is_away_is_a_failed_load(service: Service) -> None:
    assert service.run("db.migrate")[0] == 0
    away = {"MB_API_BASE_URL": NOBODY, "UPSTREAM_RETRY_SECONDS": "0.1"}
    code, log = service.run("workers.incremental_loader", **away)
    assert code == 1
    assert found("LoadFailed", log) == [1]
    assert found("LoadFinished", log) == []


def test_a_command_that_crashes_is_a_failed_load(capsys: pytest.CaptureFixture[str]) -> None:
    def crash(_settings: Settings, _options: Namespace) -> int:
        raise ZeroDivisionError

    with log_as_before():
        assert run("incremental_loader", command_parser("a.loader", None), [], crash) == 1
    assert found("LoadFailed", capsys.readouterr().err) == [1]


def test_each_collection_counts_the_prices_that_it_stored(service: Service) -> None:
    assert service.run("db.migrate")[0] == 0
    given = service.settings | {"ALLOWED_SYMBOLS": "BTC,ETH,SOL", "PRICE_POLL_SECONDS": "3600"}
    with process(service.folder, "-m", "app.workers.price_collector", **given) as child:
        assert child.stderr is not None
        lines = []
        for line in child.stderr:  # ends with the process, should it collect nothing
            lines.append(line)
            if "prices_collected" in line:
                break
        child.send_signal(signal.SIGTERM)
        assert ended(child)[0] == 0
    assert found("PricesCollected", "".join(lines)) == [3]


def test_a_request_that_fails_for_the_upstream_counts_and_one_that_succeeds_does_not(
    service: Service,
) -> None:
    given = service.settings | {"PORT": "0", "COINGECKO_API_BASE_URL": NOBODY}
    with process(service.folder, "-m", "app.serve", **given) as child:
        api = Server(url_in_log(child))
        assert api.ask("GET", "/healthz")[0] == 200
        assert api.ask("GET", "/nothing-here")[0] == 404
        assert api.ask("POST", "/collect-once/BTC")[0] == 503
        child.terminate()
        _, log = ended(child)
    assert log.count('"event": "http_request"') == 3
    assert found("RequestsFailed", log) == [1]


class BrokenStore(MemorySeriesStore):
    """A store with a fault of ours in it."""

    def read(
        self, pair: Pair, interval: Interval, window: Window, first: int, last: int
    ) -> AverageSlice:
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
