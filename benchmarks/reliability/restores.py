"""Backups, restored into either kind of database: the same rows in every table, the same hash."""

from __future__ import annotations

import json
from typing import Any, Final

from sqlalchemy import Engine, MetaData, select

from app.core.market import Interval
from app.db.backup.content import OPERATIONAL
from app.db.database import open_engine
from benchmarks.reliability.figures import Figure, Step, figure
from benchmarks.reliability.rig import NOW, POSTGRES, SQLITE, Where, database, exchange, load, run

HISTORY: Final = 30

Rows = dict[str, list[tuple[Any, ...]]]


def measure(where: Where, runs: int, step: Step) -> list[Figure]:
    """Back one kind of database up and restore it into each kind, `runs` times."""
    troubles: list[str] = []
    kept = done = 0
    with exchange() as (_, base_url), database(where) as db:
        for interval in (Interval.DAY, Interval.QUARTER):
            load(db, base_url, interval, HISTORY)
        db.execute(
            "INSERT INTO prices (symbol, currency, price, priced_at, collected_at) "
            f"VALUES ('BTC', 'usd', 6700000000000, {NOW}, {NOW})"
        )
        original = _rows(db.engine)
        file, again = str(db.folder / "made.mmsb"), str(db.folder / "again.mmsb")

        def said(url: str, *arguments: str) -> str:
            code, out, error = run(
                db.folder, url, base_url, "app.commands.backup", *arguments, "--json"
            )
            if code:
                troubles.append(f"{arguments[0]} exits {code}: {error[-200:]}")
            return out.strip()

        for _ in range(runs):
            original_hash = _hash(said(db.url, "backup", file))
            for kind in (SQLITE, POSTGRES):
                with kind.databases() as create:
                    url = create()
                    said(url, "restore", file)
                    if _hash(said(url, "backup", again)) != original_hash:
                        troubles.append(f"into {kind.kind}: another hash")
                    engine = open_engine(url)
                    copy = _rows(engine)
                    engine.dispose()
                troubles += [
                    f"into {kind.kind}: {t} differs" for t in original if copy[t] != original[t]
                ]
                kept += sum(map(len, copy.values()))
                done += 1
                step()
    return [
        figure(
            "backup and restore: equal rows and equal hash",
            where.kind,
            done,
            f"into SQLite and PostgreSQL: {kept:,} rows, {len(troubles)} troubles",
            troubles,
            least=2 * runs,
        )
    ]


def _hash(said: str) -> str | None:
    """The hash in a backup's line of JSON; None where it said nothing."""
    return json.loads(said)["sha256"] if said else None


def _rows(engine: Engine) -> Rows:
    """Every row of every table of data, in the order of its key."""
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        return {
            name: [
                tuple(row[column.name] for column in sorted(table.columns, key=lambda c: c.name))
                for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for name, table in tables.tables.items()
            if name not in OPERATIONAL
        }
