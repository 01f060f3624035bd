"""Files that are no database of this version, or a damaged one: refused, and left as they are."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, MetaData, select

from app.db import schema
from app.db.session import open_engine
from benchmarks.reliability import rig
from benchmarks.reliability.figures import Figure, Step, figure, no_step

COMMANDS: Final = ("app.db.migrate", "app.workers.initial_loader", "app.monitoring.gap_monitor")

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
    where: rig.Where, runs: int = FILES, step: Step = no_step, *, commands: Sequence[str] = COMMANDS
) -> list[Figure]:
    """Point the commands at `runs` kinds of files that are no database of ours, or a damaged one."""
    troubles: list[str] = []
    tried = 0
    with rig.exchange() as (_, base_url), rig.database(where) as db:
        file = db.folder / "mms.db"
        for name, found in list(_files(db.folder).items())[:runs]:
            for command in commands:
                for beside in db.folder.glob("mms.db*"):
                    beside.unlink()
                file.write_bytes(found)
                code, _, said = rig.run(db.folder, f"sqlite:///{file}", base_url, command)
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
