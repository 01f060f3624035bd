"""The database that is read, what is right to answer from it, and the peer's copy."""

from __future__ import annotations

import random
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.core.market import DAY as SECONDS
from app.core.market import WARM_UP, WINDOWS, Interval, Pair, Series
from app.core.settings import load_settings
from app.db import schema
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from app.services import loading
from benchmarks.reliability.content import Row, content
from benchmarks.reliability.rig import BTC, ETH, candle_source, exchange
from benchmarks.topology.market import Version

DAYS: Final = 564
"""Days that have all three averages; there are WARM_UP candles more, so that a year has room."""

YEAR: Final = 365

HOT: Final = "/BRLBTC/mms?range=50"

_DAY: Final = Interval.DAY
_NAMES: Final = {BTC: "BRLBTC", ETH: "BRLETH"}


@dataclass(frozen=True)
class Data:
    """A loaded database. `rows` are its days, by the name of their pair.

    `minutes` is the number of days of which it has BTC's minutes as well.
    """

    path: Path
    rows: dict[str, tuple[Row, ...]]
    minutes: int = 0

    @property
    def db_url(self) -> str:
        """The database as settings name it."""
        return f"sqlite:///{self.path}"

    @property
    def last(self) -> int:
        """The newest day."""
        return self.rows["BRLBTC"][-1].bucket

    def right(self, pair: str, window: int, first: int, last: int) -> bytes:
        """The body of a read of [first, last], in unix seconds, without the code that is read."""
        rows = tuple(row for row in self.rows[pair] if first <= row.bucket <= last)
        return Version(rows).averages(window)

    def hot(self) -> bytes:
        """The body of HOT."""
        return self.right("BRLBTC", 50, self.last - (YEAR - 1) * SECONDS, self.last)


@dataclass(frozen=True)
class Query:
    """A read of about a year, and what it selects."""

    path: str
    pair: str
    window: int
    first: int
    last: int


def queries(last: int, begin: int, count: int) -> list[Query]:
    """Reads number `begin` and on, no two of which are alike; `last` is the newest day.

    A prime step through the seconds of the days that a year may begin at makes each `from` another.
    Seconds and ISO 8601 take turns.
    """
    room = (DAYS - YEAR) * SECONDS
    first_day = last - (DAYS - 1) * SECONDS
    made = []
    for number in range(begin, begin + count):
        turn, kind = divmod(number, len(_NAMES) * len(WINDOWS))
        pair = list(_NAMES.values())[kind % 2]
        window = WINDOWS[kind // 2]
        since = first_day + turn * 7_919 % room
        until = since + (YEAR - 1) * SECONDS + turn % SECONDS
        written = (
            (str(since), str(until)),
            (_iso(since), _iso(until)),
            (str(since), _iso(until)),
        )[turn % 3]
        path = f"/{pair}/mms?range={window}&from={written[0]}&to={written[1]}"
        made.append(Query(path, pair, window, since, until))
    return made


def sample(last: int, seed: int, count: int) -> list[Query]:
    """Some of those reads, from all over the place."""
    chance = random.Random(seed)
    starts = [chance.randrange(10**8) for _ in range(count)]
    return [query for start in starts for query in queries(last, start, 1)]


def load(folder: Path, minutes_of_days: int = 0) -> Data:
    """Load both pairs' days, and BTC's minutes of so many days, with the project's own loading."""
    path = folder / "mms.db"
    engine = open_engine(f"sqlite:///{path}")
    try:
        schema.migrate(engine)
        store = SqlSeriesStore(engine)
        wanted: list[tuple[Pair, Interval, int]] = [(BTC, _DAY, DAYS), (ETH, _DAY, DAYS)]
        if minutes_of_days:
            wanted.append((BTC, Interval("1m"), minutes_of_days))
        with (
            exchange(time.time) as (_, base_url),
            candle_source(load_settings(None, mb_api_base_url=base_url), time.time) as source,
        ):
            for pair, interval, days in wanted:
                plan = loading.plan_load(
                    store, Series(pair, interval), time.time(), history_days=days
                )
                loading.load(plan, store, source, time.time)
        rows = {name: content(engine, Series(pair, _DAY)).rows for pair, name in _NAMES.items()}
    finally:
        engine.dispose()
    assert all(len(each) == DAYS + WARM_UP for each in rows.values())
    return Data(path, rows, minutes_of_days)


def copy_for_peer(data: Data, path: Path) -> str:
    """The same averages in the peer's own table; returns its URL."""
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE averages (pair TEXT, days INTEGER, timestamp INTEGER, mms REAL NOT NULL,"
            " PRIMARY KEY (pair, days, timestamp))"
        )
        for pair, rows in data.rows.items():
            for window in WINDOWS:
                values = [(row.bucket, getattr(row, f"mms_{window}")) for row in rows]
                connection.executemany(
                    "INSERT INTO averages VALUES (?, ?, ?, ?)",
                    [(pair, window, at, mean / 1e8) for at, mean in values if mean is not None],
                )
    connection.close()
    return f"sqlite:///{path}"


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
