"""The monitor as cron runs it: it names exactly what is missing, repairs it, and exits truthfully."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.core.market import DAY, Interval, Pair
from app.db.session import open_engine, reading
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.utils.days import iso
from tests.support.backups import rows_of
from tests.support.processes import DEADLINE, ROOT, process

BTC = Pair("BTC", "BRL")
HISTORY = 60


@dataclass
class Service:
    """Commands against one database and one stand-in exchange."""

    exchange: Exchange
    environment: dict[str, str]
    """Its settings; the rest is this process's."""
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "mms.db"

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", f"app.{module}", *arguments],
            env={**os.environ, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def monitor(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        """Run the monitor; returns exit code, the series' report, and all that was printed."""
        done = self.run("monitoring.gap_monitor", "--json", *arguments)
        heartbeats = [line for line in done.stderr.splitlines() if "monitor_heartbeat" in line]
        assert len(heartbeats) == 1, done.stderr
        assert json.loads(heartbeats[0])["exit_code"] == done.returncode
        summary = json.loads(done.stdout.splitlines()[-1])
        assert summary["exit"] == done.returncode
        if done.returncode == 2:
            assert summary.keys() == {"command", "exit", "error", "reason"}
            return 2, {}, done.stdout + done.stderr
        return done.returncode, summary["series"][0], done.stdout + done.stderr

    def rows(self) -> list[tuple[Any, ...]]:
        """Every candle with its averages."""
        with sqlite3.connect(self.database) as connection:
            found = connection.execute(
                "SELECT * FROM candles LEFT JOIN averages USING (pair, interval, bucket) ORDER BY 3"
            ).fetchall()
        connection.close()
        return found

    def content(self) -> tuple[list[bytes], list[bytes], int]:
        """The rows of candles and averages, and how many served days have the longest average."""
        engine = open_engine(f"sqlite:///{self.database}")
        tables = rows_of(engine)
        with reading(engine) as connection:
            served = "SELECT count(*) FROM averages WHERE mms_200 IS NOT NULL AND bucket > :before"
            before = days_ago(int(self.environment["HISTORY_DAYS"]))
            long = connection.scalar(text(served), {"before": before})
        engine.dispose()
        return tables["candles"], tables["averages"], long

    def clean(self) -> tuple[list[bytes], list[bytes], int]:
        """The content that an initial load of a new database gives."""
        self.database.unlink(missing_ok=True)
        assert self.run("workers.initial_loader").returncode == 0
        return self.content()

    def change(self, statement: str, *values: object) -> None:
        """Change the database behind the service's back."""
        connection = sqlite3.connect(self.database)
        with connection:
            connection.execute(statement, values)
        connection.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of one pair with 60 days, nothing loaded yet."""
    exchange = Exchange(Simulation(5, {BTC: None}), clock=time.time)
    with serve(exchange) as url:
        yield Service(
            exchange,
            {
                "DB_URL": f"sqlite:///{tmp_path / 'mms.db'}",
                "MB_API_BASE_URL": f"{url}/api/v4",
                "MB_REQUESTS_PER_SECOND": "1000",
                "UPSTREAM_RETRY_SECONDS": "20",
                "HISTORY_DAYS": str(HISTORY),
                "ALLOWED_PAIRS": "BRLBTC",
                "PYTHONPATH": str(ROOT),
            },
            tmp_path,
        )


def days_ago(number: int) -> int:
    """The bucket that closed `number` days before the newest closed one."""
    return Interval.DAY.last_closed(time.time()) - number * DAY


def test_removed_days_are_named_repaired_and_gone(service: Service) -> None:
    holes = {(days_ago(40), days_ago(38)), (days_ago(10), days_ago(10))}
    for first, last in holes:
        service.exchange.book.remove_span(BTC, (first, last + DAY))
    assert service.run("workers.initial_loader").returncode == 0

    code, report, shown = service.monitor()
    assert code == 1
    assert {(gap["first"], gap["last"]) for gap in report["gaps"]} == {
        (iso(first), iso(last)) for first, last in holes
    }
    assert [gap["count"] for gap in report["gaps"]] == [3, 1]
    assert {gap["cause"] for gap in report["gaps"]} == {"absent"}
    assert f"{iso(days_ago(40))[:10]}..{iso(days_ago(38))[:10]} (3): absent" in shown
    assert (report["missing"], report["stored"], report["expected"]) == (4, 56, 60)
    assert report["wrong_averages"] == []

    code, report, _ = service.monitor("--repair")
    assert (code, report["missing"]) == (1, 4)

    service.exchange.book.reset()
    code, report, _ = service.monitor("--repair")
    assert (code, report["gaps"]) == (0, [])
    assert service.monitor()[0] == 0
    repaired = service.rows()
    service.database.unlink()
    service.run("workers.initial_loader")
    assert service.rows() == repaired


@pytest.mark.parametrize(
    "brought_by", ["monitoring.gap_monitor --repair", "workers.incremental_loader"]
)
def test_a_monitor_that_comes_before_the_first_load_leaves_no_average_out(
    service: Service, brought_by: str
) -> None:
    service.environment["HISTORY_DAYS"] = "365"
    clean = service.clean()
    assert clean[2] == 365
    service.database.unlink()
    assert service.run("db.migrate").returncode == 0
    assert service.run(*brought_by.split()).returncode == 0
    assert service.run("workers.incremental_loader").returncode == 0
    assert service.monitor("--strict")[0] == 0
    assert service.content() == clean


@pytest.mark.parametrize(
    "brought_by", ["monitoring.gap_monitor --repair", "workers.incremental_loader"]
)
def test_a_longer_history_is_brought_whole_by_whichever_runs_next(
    service: Service, brought_by: str
) -> None:
    service.environment["HISTORY_DAYS"] = "365"
    clean = service.clean()
    service.environment["HISTORY_DAYS"] = "166"
    service.clean()
    service.environment["HISTORY_DAYS"] = "365"
    code, report, _ = service.monitor()
    assert (code, report["missing"], report["warm_up_missing"]) == (1, 0, 199)
    assert service.run(*brought_by.split()).returncode == 0
    assert service.content() == clean
    assert service.monitor("--strict")[0] == 0
    service.exchange.forget_requests()
    assert service.run("workers.incremental_loader").returncode == 0
    assert len(service.exchange.requests) == 1


@pytest.mark.parametrize(
    "brought_by", ["monitoring.gap_monitor --repair", "workers.incremental_loader"]
)
def test_a_candle_that_was_lost_before_the_served_period_comes_back_with_its_averages(
    service: Service, brought_by: str
) -> None:
    service.environment["HISTORY_DAYS"] = "365"
    clean = service.clean()
    lost = days_ago(364 + 50)
    service.change("DELETE FROM candles WHERE bucket = ?", lost)
    code, report, shown = service.monitor()
    assert (code, report["missing"], report["warm_up_missing"]) == (1, 0, 1)
    assert f"missing {iso(lost)[:10]} (1) before the served period: never-fetched" in shown
    # All that contain it, and its own, which has no candle now.
    assert report["wrong_averages"] == [[iso(lost), iso(lost + 199 * DAY)]]
    assert service.run(*brought_by.split()).returncode == 0
    assert service.content() == clean
    assert service.monitor("--strict")[0] == 0


def test_a_pair_that_is_younger_than_its_history_fails_until_that_is_confirmed(
    service: Service,
) -> None:
    service.exchange.book.remove_span(BTC, (0, days_ago(HISTORY + 98)))
    assert service.run("workers.initial_loader").returncode == 0
    code, report, _ = service.monitor("--repair")
    assert (code, report["missing"], report["warm_up_missing"]) == (1, 0, 100)
    service.change("UPDATE absences SET first_asked_at = first_asked_at - 86400")
    code, report, shown = service.monitor("--repair")
    assert (code, report["complete"], report["warm_up_missing"]) == (0, True, 100)
    assert "(100) before the served period: confirmed-absent" in shown
    service.exchange.forget_requests()
    assert service.run("workers.incremental_loader").returncode == 0
    assert service.monitor("--repair")[0] == 0
    assert len(service.exchange.requests) == 1


def test_a_stop_in_a_repair_keeps_what_was_found(service: Service) -> None:
    service.exchange.book.remove_span(BTC, (days_ago(20), days_ago(18)))
    assert service.run("workers.initial_loader").returncode == 0
    service.exchange.forget_requests()
    service.exchange.faults.add("hang=60")
    with process(
        service.folder,
        "-m",
        "app.monitoring.gap_monitor",
        "--repair",
        "--json",
        **service.environment,
    ) as child:
        deadline = time.monotonic() + DEADLINE
        while not service.exchange.requests:
            assert time.monotonic() < deadline, "the monitor asks for nothing"
            time.sleep(0.01)
        child.send_signal(signal.SIGTERM)
        shown, said = child.communicate(timeout=DEADLINE)
    assert child.returncode == 143
    *table, line = shown.splitlines()
    assert table[2] == (
        f"BRLBTC 1d missing {iso(days_ago(20))[:10]}..{iso(days_ago(19))[:10]} (2): absent"
    )
    summary = json.loads(line)
    assert (summary["exit"], summary["error"]) == (143, "Terminated")
    assert summary["series"][0]["missing"] == 2
    assert "gap_monitor: terminated" in said
    (heartbeat,) = [json.loads(x) for x in said.splitlines() if "monitor_heartbeat" in x]
    told = ("status", "exit_code", "series", "missing")
    assert [heartbeat[key] for key in told] == ["incomplete", 143, 1, 2]


def test_an_absence_that_was_confirmed_a_day_later_is_listed_and_no_failure(
    service: Service,
) -> None:
    service.exchange.book.remove_span(BTC, (days_ago(20), days_ago(20) + DAY))
    service.run("workers.initial_loader")
    assert service.monitor()[0] == 1
    service.change("UPDATE absences SET first_asked_at = first_asked_at - 86400")
    code, report, shown = service.monitor()
    assert (code, report["complete"]) == (0, True)
    assert [gap["cause"] for gap in report["gaps"]] == ["confirmed-absent"]
    assert "confirmed-absent" in shown
    assert service.monitor("--strict")[0] == 1
    service.exchange.forget_requests()
    assert service.monitor("--repair")[0] == 0
    assert service.exchange.requests == ()


def test_an_exchange_that_does_not_answer_a_repair_is_the_cause(service: Service) -> None:
    service.exchange.book.remove_span(BTC, (days_ago(20), days_ago(20) + DAY))
    service.run("workers.initial_loader")
    service.environment["MB_API_BASE_URL"] = "http://127.0.0.1:1/api/v4"
    service.environment["UPSTREAM_RETRY_SECONDS"] = "1"
    code, report, shown = service.monitor("--repair")
    assert code == 1
    assert [gap["cause"] for gap in report["gaps"]] == ["unreachable"]
    assert "not repaired: 127.0.0.1:1 cannot be reached" in shown


def test_a_database_that_is_missing_is_2_and_is_not_made(service: Service) -> None:
    code, _, shown = service.monitor()
    assert code == 2
    assert "make initial_load" in shown
    assert not service.database.exists()


@pytest.mark.parametrize("content", [b"", b"no database at all, but a letter\n" * 99])
def test_a_database_that_cannot_be_used_is_2_and_stays_as_it_is(
    service: Service, content: bytes
) -> None:
    service.database.write_bytes(content)
    code, _, _ = service.monitor()
    assert code == 2
    assert service.database.read_bytes() == content


@pytest.mark.parametrize("name", ["HISTORY_DAYS", "DB_URL"])
def test_a_bad_setting_is_2(service: Service, name: str) -> None:
    service.environment[name] = "nonsense"
    code, _, shown = service.monitor()
    assert code == 2
    assert name in shown


def test_a_postgres_that_is_down_is_2(service: Service) -> None:
    service.environment["DB_URL"] = "postgresql://mms@127.0.0.1:1/mms"
    code, _, shown = service.monitor()
    assert code == 2
    assert "does not answer" in shown


def test_averages_that_vanished_are_found_and_mended(service: Service) -> None:
    service.run("workers.initial_loader")
    whole = service.rows()
    service.change("UPDATE averages SET mms_50 = NULL WHERE bucket = ?", days_ago(7))
    service.change("DELETE FROM averages WHERE bucket = ?", days_ago(3))
    code, report, shown = service.monitor()
    assert code == 1
    assert report["wrong_averages"] == [[iso(days_ago(d))] * 2 for d in (7, 3)]
    assert "wrong averages" in shown
    assert service.monitor("--repair")[0] == 0
    assert service.rows() == whole


def test_data_that_grew_old_is_stale_until_it_is_loaded(service: Service) -> None:
    service.run("workers.initial_loader")
    for table in ("averages", "candles"):
        service.change(f"DELETE FROM {table} WHERE bucket > ?", days_ago(2))
    service.change("UPDATE series SET checked_at = checked_at - 3 * 86400")
    code, report, shown = service.monitor()
    # Within the first hour after midnight the newest candle may still be on its way.
    assert (code, report["stale"]) == (1, True)
    assert report["gaps"][-1]["cause"] == "never-fetched"
    assert "is stale" in shown
    assert service.run("workers.incremental_loader").returncode == 0
    assert service.monitor()[0] == 0


def test_help_names_every_option(service: Service) -> None:
    done = service.run("monitoring.gap_monitor", "--help")
    assert done.returncode == 0
    for option in ("--repair", "--strict", "--json", "--pairs", "--interval"):
        assert option in done.stdout
