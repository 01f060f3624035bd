"""Backups, restored into either kind of database: the same rows of every table, and the same hash."""

from __future__ import annotations

import json
from typing import Final

from sqlalchemy import inspect

from app.core.market import Interval
from app.core.settings import load_settings
from app.db import schema
from app.db.content import OPERATIONAL
from app.db.series import SqlSeriesStore
from app.db.session import open_engine
from app.services.loaders import load_initial
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import (
    BTC,
    ETH,
    NOW,
    POSTGRES,
    SQLITE,
    Database,
    Where,
    candle_source,
    database,
    end,
    exchange,
    processes,
    start,
)
from benchmarks.reliability.versions import BESIDES, rows_of

HISTORY: Final = 30
_BACKUP: Final = "app.db.backup"


def measure(
    where: Where,
    runs: int = 2,
    step: Step = no_step,
    *,
    into: tuple[Where, ...] = (SQLITE, POSTGRES),
) -> list[Figure]:
    """Back one kind of database up and restore it into each kind, `runs` times."""
    troubles: list[str] = []
    kept = done = 0
    with exchange() as (_, base_url), database(where) as db:
        _fill(db, base_url)
        file, again = str(db.folder / "made.mmsb"), str(db.folder / "again.mmsb")
        for _ in range(runs):
            wanted = _hash(db, db.url, base_url, troubles, "backup", file)
            for kind in into:
                with kind.databases() as create:
                    url = create()
                    _hash(db, url, base_url, troubles, "restore", file)
                    found = _hash(db, url, base_url, troubles, "backup", again)
                    if not wanted or found != wanted:
                        troubles.append(f"into {kind.kind}: the hash is {found}, not {wanted}")
                    kept += _compared(db, url, kind.kind, troubles)
                    done += 1
                step()
    names = " and ".join(kind.kind for kind in into)
    return [
        figure(
            "backup and restore: equal rows and equal hash",
            where.kind,
            done,
            f"into {names}: {kept:,} rows, equal each time",
            troubles,
            least=runs * len(into),
        )
    ]


def _fill(db: Database, base_url: str) -> None:
    """Two pairs at two intervals, and a row of all else."""
    store = SqlSeriesStore(db.engine)
    settings = load_settings(None, mb_api_base_url=base_url)
    with candle_source(settings, lambda: NOW) as source:
        for pair in (BTC, ETH):
            for interval in (Interval.DAY, Interval.QUARTER):
                load_initial(store, source, lambda: NOW, pair, interval, history_days=HISTORY)
    for statement in BESIDES:
        db.execute(statement)


def _hash(db: Database, url: str, base_url: str, troubles: list[str], *arguments: str) -> str:
    """The hash that the command printed."""
    process = start(db.folder, url, base_url, _BACKUP, *arguments, "--json")
    with processes([process]):
        code, out, said = end(process)
    if code:
        troubles.append(f"{arguments[0]} exits {code}: {said[-200:]}")
        return ""
    return str(json.loads(out)["sha256"])


def _compared(db: Database, url: str, kind: str, troubles: list[str]) -> int:
    """How many rows are the same in both."""
    engine = open_engine(url)
    try:
        schema.require(engine)
        names = sorted(set(inspect(db.engine).get_table_names()) - OPERATIONAL)
        before, after = rows_of(db.engine, names), rows_of(engine, names)
        troubles += [
            f"into {kind}: {name} differs" for name in names if before[name] != after[name]
        ]
        return sum(len(rows) for rows in after.values())
    finally:
        engine.dispose()
