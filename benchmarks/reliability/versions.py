"""Databases that this version did not make: older schemas keep their rows, all others are left alone."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, MetaData, inspect, select, text

from app.core.market import Interval
from app.core.settings import load_settings
from app.db import schema
from app.db.series import SqlSeriesStore
from app.db.session import open_engine, transaction, write_ahead
from app.services.loaders import load_incremental, load_initial
from benchmarks.reliability.content import content, disagreements
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import (
    BTC,
    NOW,
    Where,
    candle_source,
    database,
    end,
    exchange,
    processes,
    start,
)

DAY: Final = Interval.DAY
HISTORY: Final = 365
LATER: Final = NOW + 3 * DAY.seconds
COMMANDS: Final = ("app.db.migrate", "app.workers.initial_loader", "app.monitoring.gap_monitor")

OLDER: Final = int(schema.HEAD) - 1
"""How many versions there were before this one."""

FILES: Final = 9
"""How many kinds of foreign and damaged files are tried."""

Rows = dict[str, list[dict[str, Any]]]

BESIDES: Final = (
    # What a load leaves empty, so that every table has a row to lose.
    "INSERT INTO absences (pair, interval, bucket, first_asked_at, last_asked_at) "
    "VALUES ('BTC-BRL', '1d', 1700006400, 1700100000, 1700200000)",
    "INSERT INTO leases (name, holder, expires_at) VALUES ('load it', 'somebody', 1700000000)",
    "INSERT INTO prices (symbol, currency, price, priced_at, collected_at) "
    "VALUES ('BTC', 'usd', 6700000000000, 1700000000, 1700000005)",
    "INSERT INTO quarantine (pair, interval, bucket, reason, first_seen_at, last_seen_at) "
    "VALUES ('BTC-BRL', '1d', 1700006400, 'The low is above the high.', 1700100000, 1700100000)",
    "INSERT INTO candle_revisions SELECT pair, interval, bucket, 1, 1700000000, open, high, low, "
    "close, volume, open, high, low, close, volume FROM candles WHERE bucket = 1709164800",
)


def older(where: Where, runs: int = OLDER, step: Step = no_step) -> list[Figure]:
    """Migrate a database with rows from each of the `runs` oldest versions, then load on."""
    troubles: list[str] = []
    versions = [f"{number:04}" for number in range(1, min(runs, OLDER) + 1)]
    kept = 0
    there = [float(NOW)]
    with (
        exchange(lambda: there[0]) as (_, base_url),
        database(where) as db,
        where.databases() as create,
        candle_source(load_settings(None, mb_api_base_url=base_url), lambda: there[0]) as source,
    ):
        store = SqlSeriesStore(db.engine)
        load_initial(store, source, lambda: NOW, BTC, DAY, history_days=HISTORY)
        for statement in BESIDES:
            db.execute(statement)
        for version in versions:
            there[0] = NOW
            engine = open_engine(create())
            try:
                before = _made_at(engine, version, db.engine)
                schema.migrate(engine)
                after = rows_of(engine, list(before))
                kept += sum(len(rows) for rows in before.values())
                for name, rows in before.items():
                    if after[name] != rows:
                        troubles.append(f"{version}: the rows of {name} are not what they were")
                there[0] = LATER
                report = load_incremental(
                    SqlSeriesStore(engine), source, lambda: LATER, BTC, DAY, history_days=HISTORY
                )
                if report.inserted != 3:
                    troubles.append(f"{version}: loading on inserts {report.inserted}, not 3")
                troubles += disagreements(content(engine, BTC, DAY), DAY.seconds)
            finally:
                engine.dispose()
            step()
    return [
        figure(
            "a database of an older version: migrates with all its rows, and loads on",
            where.kind,
            len(versions),
            f"{kept:,} rows from versions {versions[0]} to {versions[-1]}, all kept",
            troubles,
        )
    ]


def _made_at(engine: Engine, version: str, full: Engine) -> Rows:
    """Build the tables of an old version and fill them from a full database; returns the rows."""
    write_ahead(engine)
    with transaction(engine) as connection:
        schema.upgrade(connection, version)
    names = [name for name in inspect(engine).get_table_names() if name != "alembic_version"]
    rows = rows_of(full, names)
    metadata = MetaData()
    metadata.reflect(engine)
    with transaction(engine) as connection:
        for table in metadata.sorted_tables:
            if rows.get(table.name):
                _insert(connection, table.name, rows[table.name])
    return rows_of(engine, names)


def _insert(connection: Connection, name: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = list(rows[0])
    values = ", ".join(f":{column}" for column in columns)
    connection.execute(text(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({values})"), rows)


def rows_of(engine: Engine, names: Sequence[str]) -> Rows:
    """Every row of these tables, in the order of its key."""
    metadata = MetaData()
    metadata.reflect(engine, only=names)
    with engine.connect() as connection:
        return {
            name: [
                dict(row._mapping)
                for row in connection.execute(
                    select(metadata.tables[name]).order_by(*metadata.tables[name].primary_key)
                )
            ]
            for name in names
        }


def foreign(
    where: Where, runs: int = FILES, step: Step = no_step, *, commands: Sequence[str] = COMMANDS
) -> list[Figure]:
    """Point the commands at `runs` kinds of files that are no database of ours, or a damaged one."""
    if where.kind != "sqlite":
        return []
    troubles: list[str] = []
    tried = 0
    with exchange() as (_, base_url), database(where) as db:
        file = db.folder / "mms.db"
        for name, found in list(_files(db.folder).items())[:runs]:
            for command in commands:
                for beside in db.folder.glob("mms.db*"):
                    beside.unlink()
                file.write_bytes(found)
                process = start(db.folder, f"sqlite:///{file}", base_url, command)
                with processes([process]):
                    code, _, said = end(process)
                tried += 1
                if code != 2 or "Traceback" in said or len(said.splitlines()) > 2:
                    troubles.append(f"{name}: {command} exits {code}: {said[-200:]}")
                if file.read_bytes() != found:
                    troubles.append(f"{name}: {command} changed it")
            step()
    return [
        figure(
            "a foreign, newer or damaged file: refused with exit 2 and one line, not a byte changed",
            where.kind,
            tried,
            f"{len(troubles)} accepted or changed",
            troubles,
        )
    ]


def _files(folder: Path) -> dict[str, bytes]:
    """Files that must be refused, by what they are."""
    ours = _sqlite_file(folder / "ours.db", "")
    filled = _sqlite_file(folder / "filled.db", _FILLED)
    candles, averages = (_page_of(folder / "filled.db", name) for name in ("candles", "averages"))
    return {
        "another program's database": _sqlite_file(folder / "theirs.db", _THEIRS),
        "a newer version's database": _sqlite_file(folder / "newer.db", _NEWER),
        "half of ours": ours[: len(ours) // 2],
        "text": b"these are my notes, not a database\n" * 500,
        "random bytes": random.Random(1).randbytes(65_536),
        "ours without its first page": ours[:100] + bytes(3_996) + ours[4_096:],
        "ours with another header": b"SQLite format 4\0" + ours[16:],
        "ours with a page of candles overwritten": _without(filled, candles, bytes(_PAGE)),
        "ours with a page of averages overwritten": _without(
            filled, averages, random.Random(2).randbytes(_PAGE)
        ),
    }


def _page_of(file: Path, table: str) -> int:
    """Where in the file the last page of the table's rows begins."""
    with closing(sqlite3.connect(file)) as connection:
        wanted = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        root = int(connection.execute(wanted, (table,)).fetchone()[0]) - 1
    # A root that has pages below it names the last of them in bytes 8 to 11.
    last = file.read_bytes()[root * _PAGE + 8 : root * _PAGE + 12]
    return (int.from_bytes(last) - 1) * _PAGE


def _without(file: bytes, begin: int, other: bytes) -> bytes:
    return file[:begin] + other + file[begin + len(other) :]


_PAGE: Final = 4_096
_FILLED: Final = """
WITH RECURSIVE n(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 999)
INSERT INTO candles (pair, interval, bucket, open, high, low, close, volume)
SELECT 'BTC-BRL', '1d', 1600041600 + 86400 * n, 9, 9, 9, 9, 9 FROM n;
INSERT INTO averages (pair, interval, bucket) SELECT pair, interval, bucket FROM candles;
INSERT INTO series (pair, interval, revision) VALUES ('BTC-BRL', '1d', 1);
"""
_THEIRS: Final = "CREATE TABLE customers (name TEXT)"
_NEWER: Final = "UPDATE alembic_version SET version_num = '9999'"


def _sqlite_file(file: Path, statement: str) -> bytes:
    """The bytes of a SQLite database: ours after the statement, or only what it creates."""
    url = f"sqlite:///{file}"
    if statement != _THEIRS:
        engine = open_engine(url)
        schema.migrate(engine)
        engine.dispose()
    with closing(sqlite3.connect(file)) as connection:
        with connection:
            connection.executescript(statement)
        connection.execute("PRAGMA journal_mode=DELETE").close()
        connection.execute("PRAGMA journal_mode=WAL").close()
    return file.read_bytes()
