"""When a reply was made, and replies without candles: real commands, real HTTP."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.core.market import DAY
from app.domain.times import iso
from app.sources.host_clock import STANDING
from tests.support.answering import answering
from tests.support.commands import Ended, days_ago, run

LOADER = "workers.initial_loader"
CATCH_UP = "workers.incremental_loader"
MONITOR = "monitoring.gap_monitor"
LISTED = 30

Replied = tuple[int, Mapping[str, str], bytes]


@dataclass(frozen=True)
class Shop:
    """Commands against one SQLite file and one web server."""

    folder: Path
    settings: dict[str, str]

    def run(self, module: str, *arguments: str, **changed: str) -> Ended:
        return run(self.folder, module, "--json", *arguments, **self.settings | changed)

    def query(self, statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "mms.db")) as connection, connection:
            return connection.execute(statement, values).fetchall()


@contextmanager
def shop(folder: Path, reply: Callable[[int, int], Replied], **settings: str) -> Iterator[Shop]:
    """A service whose exchange answers with `reply` of the first and last requested stamp."""

    def answer(path: str) -> Replied:
        query = parse_qs(urlsplit(path).query)
        return reply(int(query["from"][0]), int(query["to"][0]))

    with answering(answer) as port:
        url = f"http://127.0.0.1:{port}"
        usual = {
            "MB_API_BASE_URL": url,
            "MB_LEGACY_API_BASE_URL": url,
            "MB_REQUESTS_PER_SECOND": "1000",
            "ALLOWED_PAIRS": "BRLBTC",
        }
        yield Shop(folder, usual | settings)


def columns(stamps: list[int], **changed: list[Any]) -> bytes:
    values = {key: ["100.0"] * len(stamps) for key in "ohlcv"}
    return json.dumps({"t": stamps, **values, **changed}).encode()


def objects(stamps: list[int]) -> bytes:
    names = ("open", "high", "low", "close", "volume")
    candles = [{"timestamp": stamp, **dict.fromkeys(names, 100)} for stamp in stamps]
    return json.dumps({"status_code": 100, "candles": candles}).encode()


@pytest.mark.parametrize(
    ("source", "nothing"),
    [
        ("mercado_bitcoin", (200, {}, b'{"s":"no_data","nextTime":1}')),
        ("mercado_bitcoin_legacy", (204, {"Content-Type": "text/html"}, b"")),
    ],
)
def test_a_pair_younger_than_the_history_loads_what_there_is(
    tmp_path: Path, source: str, nothing: Replied
) -> None:
    listed = days_ago(LISTED - 1)

    def reply(first: int, last: int) -> Replied:
        stamps = list(range(max(first, listed), min(last, days_ago(-1)) + 1, DAY))
        if not stamps:
            return nothing
        return 200, {}, (columns if source == "mercado_bitcoin" else objects)(stamps)

    with shop(tmp_path, reply, CANDLE_SOURCE=source, HISTORY_DAYS="600") as made:
        end = made.run(LOADER)
        assert end.code == 0
        assert (end.series["status"], end.series["inserted"]) == ("ok", LISTED)
        assert end.series["absent"] == 600 + 199 - LISTED
        again = made.run(CATCH_UP)
        assert (again.code, again.series["inserted"]) == (0, 0)


def test_rows_of_nulls_that_are_in_quarantine_become_confirmed_absences(tmp_path: Path) -> None:
    quiet = days_ago(5)

    def reply(first: int, last: int) -> Replied:
        stamps = list(range(first, min(last, days_ago(-1)) + 1, DAY))
        prices = [None if stamp == quiet else "100.0" for stamp in stamps]
        return 200, {}, columns(stamps, **dict.fromkeys("ohlc", prices))

    with shop(tmp_path, reply, HISTORY_DAYS="20") as made:
        assert made.run(LOADER).code == 0
        # As 0.1.0 left it: refused, and not asked for again by a load.
        made.query("DELETE FROM absences")
        made.query(
            "INSERT INTO quarantine VALUES ('BTC-BRL', '1d', ?, 'The open is missing.', 1, 1)",
            quiet,
        )
        refused = made.run(MONITOR)
        assert (refused.code, refused.series["gaps"][0]["cause"]) == (1, "refused")
        absent = made.run(MONITOR, "--repair")
        assert (absent.code, absent.series["gaps"][0]["cause"]) == (1, "absent")
        made.query("UPDATE absences SET first_asked_at = first_asked_at - ?", DAY)
        confirmed = made.run(MONITOR, "--repair")
        assert confirmed.code == 0
        assert [(gap["first"], gap["cause"]) for gap in confirmed.series["gaps"]] == [
            (iso(quiet), "confirmed-absent")
        ]


@pytest.mark.parametrize("age", [None, 300])
def test_a_stored_copy_with_a_fresh_date_closes_no_running_minute(
    tmp_path: Path, age: int | None
) -> None:
    # The copy was made while its last minute was running: that has ended since, or just now.
    copied_at = time.time() - (age or 0)
    running = int(copied_at) // 60 * 60 - 60

    def reply(first: int, last: int) -> Replied:
        stamps = list(range(first, min(last, running) + 1, 60))
        return 200, {} if age is None else {"Age": str(age)}, columns(stamps)

    settings = {"INTERVALS": "1m", "HISTORY_DAYS": "1"}
    with shop(tmp_path, reply, **settings) as made:
        end = made.run(LOADER)
        assert end.code == 0
        assert end.series["newest"] == iso(running - 60)
        assert end.series["absent"] == 0
        if age is None:
            watched = made.run(MONITOR)
            assert not watched.series["stale"]
            assert watched.series["missing"] == 0


def test_a_host_whose_date_stands_still_holds_candles_back_for_a_minute_and_not_for_ever(
    tmp_path: Path,
) -> None:
    # Beside the right `Date` of the test's server: of two, the older one counts.
    stopped = formatdate(time.time() - 3 * DAY, usegmt=True)

    def reply(first: int, last: int) -> Replied:
        return 200, {"Date": stopped}, columns(list(range(first, min(last, days_ago(-1)) + 1, DAY)))

    with shop(tmp_path, reply, HISTORY_DAYS="20") as made:
        for module in (LOADER, CATCH_UP):
            early = made.run(module)
            assert (early.code, early.series["newest"]) == (0, iso(days_ago(3)))
        made.query("UPDATE host_clocks SET seen_at = seen_at - ?", STANDING)
        end = made.run(CATCH_UP)
        assert (end.code, end.series["newest"]) == (0, iso(days_ago(0)))
        lines = [line for line in end.said.splitlines() if line.startswith("{")]
        events = [json.loads(line)["event"] for line in lines]
        assert events.count("host_clock_stands_still") == 1
        (kept,) = made.query("SELECT count(*) FROM host_clocks")
        assert kept == (1,)
