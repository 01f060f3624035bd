"""The monitor over a real database and a real exchange: what it repairs equals a clean load.

Its words are tested in tests/unit/monitoring, its exit codes as cron sees them in test_schedules.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.market import DAY
from app.domain.times import iso
from tests.support.commands import BTC, Service, days_ago, service
from tests.support.patience import until
from tests.support.processes import DEADLINE, process

LOADER = "workers.initial_loader"
CATCH_UP = "workers.incremental_loader"
MONITOR = "monitoring.gap_monitor"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Service]:
    """A service of one pair with 60 days, nothing loaded yet."""
    with service(tmp_path, HISTORY_DAYS="60") as made:
        yield made


def clean(shop: Service, **settings: str) -> list[object]:
    """What an initial load of a new database gives."""
    shop.database.unlink(missing_ok=True)
    assert shop.run(LOADER, **settings).code == 0
    return shop.rows()


def test_removed_days_are_named_repaired_and_gone(shop: Service) -> None:
    holes = [(days_ago(40), days_ago(38)), (days_ago(10), days_ago(10))]
    for first, last in holes:
        shop.exchange.book.remove(BTC, (first, last + DAY))
    assert shop.run(LOADER).code == 0
    found = shop.run(MONITOR, "--repair")
    assert found.code == 1
    assert [
        (gap["first"], gap["last"], gap["count"], gap["cause"]) for gap in found.series["gaps"]
    ] == [
        (iso(first), iso(last), (last - first) // DAY + 1, "absent") for first, last in holes
    ]  # fmt: skip
    shop.exchange.book.reset()
    assert shop.run(MONITOR, "--repair").code == 0
    assert shop.run(MONITOR).code == 0
    repaired = shop.rows()
    assert clean(shop) == repaired


@pytest.mark.parametrize(
    ("before", "brought_by"),
    [
        ("166 days", [CATCH_UP]),
        ("166 days", [MONITOR, "--repair"]),
        ("0 days", [MONITOR, "--repair"]),
    ],
)
def test_what_is_missing_of_the_history_is_brought_whole_by_whichever_runs_next(
    shop: Service, before: str, brought_by: list[str]
) -> None:
    shop.settings["HISTORY_DAYS"] = "365"
    whole = clean(shop)
    if before == "166 days":
        clean(shop, HISTORY_DAYS="166")
    else:
        shop.query("DELETE FROM averages")
        shop.query("DELETE FROM candles")
        shop.query("DELETE FROM series")
    assert shop.run(MONITOR).code == 1
    assert shop.run(*brought_by).code == 0
    shop.exchange.forget_requests()
    assert shop.run(CATCH_UP).code == 0
    assert len(shop.exchange.requests) == 1
    assert shop.run(MONITOR, "--strict").code == 0
    assert shop.rows() == whole


def test_an_absence_that_was_confirmed_a_day_later_is_no_failure_and_not_asked_for(
    shop: Service,
) -> None:
    """Of a pair that is younger than its history, and of a day within it."""
    for span in ((0, days_ago(60 + 98)), (days_ago(20), days_ago(19))):
        shop.exchange.book.remove(BTC, span)
    assert shop.run(LOADER).code == 0
    assert shop.run(MONITOR).code == 1
    shop.query("UPDATE absences SET first_asked_at = first_asked_at - 86400")
    found = shop.run(MONITOR, "--repair")
    assert (found.code, found.series["missing"], found.series["warm_up_missing"]) == (0, 1, 100)
    assert {gap["cause"] for gap in found.series["gaps"]} == {"confirmed-absent"}
    assert shop.run(MONITOR, "--strict").code == 1
    shop.exchange.forget_requests()
    assert shop.run(MONITOR, "--repair").code == 0
    assert shop.exchange.requests == ()


def test_a_stop_in_a_repair_keeps_what_was_found(shop: Service) -> None:
    shop.exchange.book.remove(BTC, (days_ago(20), days_ago(18)))
    assert shop.run(LOADER).code == 0
    shop.exchange.forget_requests()
    shop.exchange.faults.add("hang=60")
    command = ["-m", f"app.{MONITOR}", "--repair", "--json"]
    with process(shop.folder, *command, **shop.settings) as child:
        until(lambda: shop.exchange.requests != ())
        child.send_signal(signal.SIGTERM)
        shown, said = child.communicate(timeout=DEADLINE)
    assert child.returncode == 143
    summary = json.loads(shown)
    assert (summary["exit"], summary["error"]) == (143, "Terminated")
    assert summary["series"][0]["missing"] == 2
    [beat] = [json.loads(line) for line in said.splitlines() if "monitor_heartbeat" in line]
    assert (beat["status"], beat["exit_code"], beat["missing"]) == ("incomplete", 143, 2)
