"""The monitor's words and exit codes, over a real database in this process.

How it behaves as cron starts it is tested in tests/integration/test_monitor_command.py.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.core.market import WARM_UP, Interval, RefusedCandle
from app.db import schema
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from app.domain.times import duration, iso
from app.monitoring.gap_monitor import main
from tests.support.candles import BTC_DAILY, FakeExchange, candle
from tests.support.loads import initial
from tests.support.logs import log_as_before

SECONDS = 86_400
DAYS = 10


@dataclass
class Said:
    """How a run ended and what it printed; `heartbeat` is the last line of its log.

    `shown` is for people, `printed` is standard output: the line of JSON alone, with --json.
    """

    code: int
    shown: list[str]
    printed: str
    heartbeat: dict[str, Any]
    error: str

    @property
    def summary(self) -> dict[str, Any]:
        """The line of JSON."""
        found: dict[str, Any] = json.loads(self.printed)
        return found


@dataclass
class Service:
    """One database of 10 served days up to yesterday."""

    path: Path
    capsys: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        self.newest = Interval.DAY.last_closed(time.time())
        engine = open_engine(f"sqlite:///{self.path}")
        schema.migrate(engine)
        self.engine = engine
        self.store = SqlSeriesStore(engine)

    def ago(self, number: int) -> int:
        """The bucket so many days before the newest closed one."""
        return self.newest - number * SECONDS

    def fill(self, without: Iterable[int] = (), *, last: int = 0, hours: float = 0) -> None:
        """Load all days up to `last` days ago, but for some, and so many hours ago."""
        gone = {self.ago(number) for number in without}
        buckets = range(self.ago(DAYS + WARM_UP), self.ago(last) + 1, SECONDS)
        now = self.ago(last) + SECONDS + 60
        exchange = FakeExchange.of([candle(b, 10**9 + b) for b in buckets if b not in gone], now)
        initial(self.store, exchange, lambda: now - hours * 3600, history_days=DAYS)

    def change(self, statement: str, *values: object) -> None:
        """Change the database behind the service's back, and its rules'."""
        connection = sqlite3.connect(self.path)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        with connection:
            connection.execute(statement, values)
        connection.close()

    def run(self, *arguments: str) -> Said:
        """Run the command."""
        self.capsys.readouterr()
        code = main(arguments)
        said = self.capsys.readouterr()
        lines = [line for line in said.err.splitlines() if "database_in_use" not in line]
        (end,) = [at for at, line in enumerate(lines) if '"monitor_heartbeat"' in line]
        heartbeat = json.loads(lines[end])
        assert heartbeat["exit_code"] == code
        shown = lines[end + 1 :] if "--json" in arguments else said.out.splitlines()
        return Said(code, shown, said.out, heartbeat, "\n".join(lines[:end]))


@pytest.fixture
def service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Service]:
    """A service whose database is migrated and empty."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DB_URL": f"sqlite:///{tmp_path / 'mms.db'}",
        "ALLOWED_PAIRS": "BRLBTC",
        "INTERVALS": "1d",
        "HISTORY_DAYS": str(DAYS),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "INFO",
        "MB_REQUESTS_PER_SECOND": "1000",
        "UPSTREAM_RETRY_SECONDS": "1",
        "CANDLE_SOURCE": "mercado_bitcoin",
        "MB_API_BASE_URL": "http://127.0.0.1:1/api/v4",
        "CACHE_URL": "memory://",
    }.items():
        monkeypatch.setenv(name, value)
    with log_as_before():
        made = Service(tmp_path / "mms.db", capsys)
        yield made
        made.engine.dispose()


def test_a_complete_series_is_one_line_and_exit_0(service: Service) -> None:
    service.fill()
    said = service.run()
    assert said.code == 0
    assert said.shown[0].split() == [
        "pair", "interval", "status", "stored", "expected", "missing",
        "newest", "newest_age", "checked", "checked_age",
    ]  # fmt: skip
    row = re.split(" {2,}", said.shown[1])
    ages = [row.pop(at) for at in (9, 7)]
    assert row == [
        "BRLBTC", "1d", "complete", "10", "10", "0", iso(service.ago(0)),
        iso(service.ago(0) + SECONDS + 60),
    ]  # fmt: skip
    newest = int(time.time()) - (service.ago(0) + SECONDS)
    possible = [(duration(age - 60), duration(age)) for age in range(newest - 60, newest + 1)]
    assert tuple(ages) in possible
    assert len(said.shown) == 2
    assert {key: said.heartbeat[key] for key in ("status", "series", "gaps", "missing")} == {
        "status": "complete", "series": 1, "gaps": 0, "missing": 0,
    }  # fmt: skip
    assert said.error == ""


def test_each_range_is_named_with_its_cause_and_counted_in_the_heartbeat(service: Service) -> None:
    service.fill(without=[2, 5, 6])
    with service.store.begin(BTC_DAILY) as unit:
        unit.quarantine([RefusedCandle(service.ago(4), "odd")], int(time.time()))
        unit.finish(changed=False, now=time.time(), checked=False)
    service.change("DELETE FROM averages WHERE bucket = ?", service.ago(8))
    said = service.run()
    assert said.code == 1
    two, five, six, eight = (iso(service.ago(n))[:10] for n in (2, 5, 6, 8))
    assert said.shown[2:] == [
        f"BRLBTC 1d missing {six}..{five} (2): absent",
        f"BRLBTC 1d missing {two} (1): absent",
        f"BRLBTC 1d wrong averages {eight}: run python -m app monitor --repair",
        "BRLBTC 1d has 1 refusal on record: GET /BRLBTC/quarantine?interval=1d",
    ]
    counted = ("status", "gaps", "missing", "wrong_averages", "stale", "quarantined")
    assert [said.heartbeat[key] for key in counted] == ["incomplete", 2, 3, 1, 0, 1]
    # All gaps of a series are one event as well, and what hears it is the log.
    (event,) = [json.loads(line) for line in said.error.splitlines()]
    fields = ("event", "pair", "interval", "first", "last", "gaps", "count", "causes")
    assert tuple(event[name] for name in fields) == (
        "gap_detected", "BRLBTC", "1d", service.ago(6), service.ago(2), 2, 3, "absent 3",
    )  # fmt: skip


def test_the_line_of_json_says_the_same_for_machines(service: Service) -> None:
    service.fill(without=[2], hours=0)
    said = service.run("--json")
    assert said.code == 1
    at = iso(service.ago(2))
    (series,) = said.summary["series"]
    age, checked_age = series.pop("age_seconds"), series.pop("checked_age_seconds")
    assert age - checked_age == 60
    assert 0 <= time.time() - (service.ago(0) + SECONDS) - age < 60
    assert said.summary["command"] == "gap_monitor"
    assert said.summary["exit"] == 1
    assert series == {
        "pair": "BRLBTC",
        "interval": "1d",
        "first": iso(service.ago(9)),
        "last": iso(service.ago(0)),
        "expected": 10,
        "stored": 9,
        "missing": 1,
        "warm_up_missing": 0,
        "complete": False,
        "stale": False,
        "newest": iso(service.ago(0)),
        "checked_at": iso(service.ago(0) + SECONDS + 60),
        "gaps": [
            {"first": at, "last": at, "count": 1, "cause": "absent", "warm_up": False},
        ],
        "quarantined": 0,
        "wrong_averages": [],
    }


def test_a_series_that_was_never_loaded_is_missing_and_stale(service: Service) -> None:
    said = service.run("--json")
    assert said.code == 1
    assert said.shown[1].split()[-5:] == ["10", "-", "-", "-", "-"]
    oldest, before, first, last = (iso(service.ago(n))[:10] for n in (DAYS + 198, DAYS, 9, 0))
    assert said.shown[2:5] == [
        f"BRLBTC 1d missing {oldest}..{before} (199) before the served period: never-fetched",
        f"BRLBTC 1d missing {first}..{last} (10): never-fetched",
        "BRLBTC 1d has no candle yet: run python -m app load",
    ]
    (series,) = said.summary["series"]
    unknown = ("newest", "age_seconds", "checked_at", "checked_age_seconds")
    assert [series[key] for key in unknown] == [None] * 4
    assert said.heartbeat["stale"] == 1


def test_a_stale_series_names_its_newest_candle_and_the_command(service: Service) -> None:
    service.fill(last=2)
    said = service.run()
    assert (said.code, said.heartbeat["stale"]) == (1, 1)
    assert said.shown[-1] == (
        f"BRLBTC 1d is stale: its newest candle is {iso(service.ago(2))}; run python -m app update"
    )


def test_a_confirmed_absence_is_listed_and_a_reason_for_1_only_if_strict(service: Service) -> None:
    service.fill(without=[2])
    service.change("UPDATE absences SET first_asked_at = first_asked_at - 86400")
    said = service.run()
    assert said.code == 0
    assert said.shown[1].split()[2] == "complete"
    assert said.shown[2].endswith("(1): confirmed-absent")
    said = service.run("--strict", "--json")
    assert said.code == 1
    assert said.shown[1].split()[2] == "incomplete"
    assert said.summary["series"][0]["complete"] is False


def test_a_repair_that_gets_no_answer_still_mends_averages_and_asks_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_PAIRS", "BRLBTC,BRLETH,BRLSOL")
    service.fill()
    service.change("DELETE FROM averages WHERE bucket = ?", service.ago(4))
    service.change("DELETE FROM averages WHERE bucket = ?", service.ago(DAYS + 30))
    said = service.run("--repair")
    assert said.code == 1
    # The first pair has no gap and is whole again; the second was requested; the third was not.
    assert [line.split()[2] for line in said.shown[1:4]] == ["complete", "incomplete", "incomplete"]
    assert not [line for line in said.shown if "wrong averages" in line]
    gaps = [line for line in said.shown if " missing 2" in line]
    assert len(gaps) == 4
    assert {line.rpartition(": ")[2] for line in gaps} == {"unreachable"}
    assert said.shown[-2].startswith("BRLETH 1d not repaired: 127.0.0.1:1 cannot be reached")
    assert said.shown[-1].startswith("BRLSOL 1d not repaired: 127.0.0.1:1 cannot be reached")
    (failed,) = [json.loads(line) for line in said.error.splitlines() if "repair_failed" in line]
    assert (failed["pair"], failed["error"]) == ("BRLETH", "UpstreamUnavailable")


def test_a_database_that_goes_away_in_a_repair_leaves_what_was_found(service: Service) -> None:
    service.fill(without=[2])
    service.change("ALTER TABLE leases RENAME TO gone")
    said = service.run("--repair", "--json")
    assert said.code == 1
    assert said.shown[2].endswith("(1): absent")
    assert said.shown[3].startswith("BRLBTC 1d not repaired: ")
    assert "python -m app migrate" in said.shown[3]
    assert said.summary["series"][0]["missing"] == said.heartbeat["missing"] == 1


def test_a_check_that_broke_off_is_2_and_never_taken_for_an_answer(service: Service) -> None:
    """Somebody has put other candles in the place of ours, whose buckets are none."""
    service.fill(last=3)
    service.change("ALTER TABLE candles RENAME TO ours")
    service.change("CREATE VIEW candles AS SELECT pair, interval, 'a word' AS bucket FROM ours")
    said = service.run("--repair", "--json")
    assert said.code == 2
    assert "command_crashed" in said.error
    assert said.printed == (
        '{"command":"gap_monitor","exit":2,"error":"TypeError","reason":"crashed; the log says where"}\n'
    )
    assert said.shown == []
    # No numbers: a 0 would be one.
    assert said.heartbeat.keys() == {"timestamp", "level", "event", "status", "exit_code"}
    assert said.heartbeat["status"] == "could_not_check"


def test_a_database_that_is_not_there_is_2_and_not_made(service: Service) -> None:
    service.engine.dispose()
    service.path.unlink()
    said = service.run()
    assert said.code == 2
    assert "python -m app load" in said.error
    assert not service.path.exists()
    assert service.run("--json").summary["error"] == "StoreUnusable"
