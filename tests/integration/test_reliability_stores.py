"""Databases that go away, are locked, full, foreign or behind: the measurements, in short.

`make reliability` runs them at full length.
"""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from app.core.errors import StoreError
from app.core.market import Interval
from app.core.settings import load_settings
from app.db.series import SqlSeriesStore
from app.events.types import AveragesCalculated, CandleRevised, CandlesLoaded, Event
from app.services.loaders import load_incremental
from app.services.loading import LoadReport
from benchmarks.reliability import disks, outages, revised
from benchmarks.reliability.content import content, disagreements
from benchmarks.reliability.rig import (
    BTC,
    NOW,
    POSTGRES,
    SQLITE,
    Where,
    candle_source,
    database,
    exchange,
)
from tests.support.reliability import kept


def test_while_postgresql_is_away_reads_are_503_in_time_and_then_all_is_well(
    on_postgres: Where,
) -> None:
    del on_postgres  # it says whether PostgreSQL is installed; a server that is stopped is our own
    kept(outages.measure(POSTGRES, 2, names=["crashed", "terminated"], away=0.5))


def test_a_file_that_another_program_locks_fails_the_load_with_a_reason_and_no_read() -> None:
    kept(disks.locked(SQLITE, 1, moments=["while it loads"]))


def test_a_database_that_may_not_grow_fails_the_load_with_a_reason_and_stays_whole() -> None:
    kept(disks.full(SQLITE, 2, days=2, space=disks.paged))


def test_revised_candles_change_their_own_averages_and_no_others(where: Where) -> None:
    kept(revised.measure(where, 4))


REFUSING = {
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE {when} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'refused by the test'); END",
        "DROP TRIGGER refuse",
    ),
    "postgres": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION USING MESSAGE = ''refused by the test''; END'; "
        "CREATE TRIGGER refuse BEFORE {when} ON {table} EXECUTE FUNCTION refuse()",
        "DROP FUNCTION refuse CASCADE",
    ),
}


@pytest.mark.parametrize(
    ("table", "when"),
    [("averages", "INSERT"), ("candle_revisions", "INSERT"), ("series", "UPDATE")],
)
def test_a_revision_is_written_with_its_averages_and_its_record_or_not_at_all(
    where: Where, table: str, when: str
) -> None:
    refuse, allow = REFUSING[where.kind]
    with (
        exchange() as (stage, base_url),
        database(where) as db,
        candle_source(load_settings(None, mb_api_base_url=base_url), lambda: NOW) as source,
    ):
        store = SqlSeriesStore(db.engine)
        told: list[Event] = []

        def load() -> LoadReport:
            return load_incremental(
                store,
                source,
                lambda: NOW,
                BTC,
                Interval.DAY,
                history_days=30,
                reread=100,
                publish=told.append,
            )

        load()
        before = content(db.engine, BTC, Interval.DAY)
        told.clear()
        stage.faults.add(f"revise=1.5,candle={before.rows[-60].bucket}")
        db.execute(refuse.format(table=table, when=when))
        with pytest.raises((IntegrityError, StoreError), match="refused by the test"):
            load()
        assert content(db.engine, BTC, Interval.DAY) == before
        assert (store.revisions(BTC, Interval.DAY, 9), told) == ([], [])
        db.execute(allow)
        assert (load().revised, len(store.revisions(BTC, Interval.DAY, 9))) == (1, 1)
        after = content(db.engine, BTC, Interval.DAY)
        assert disagreements(after, Interval.DAY.seconds) == []
        assert [type(event) for event in told] == [CandlesLoaded, AveragesCalculated, CandleRevised]
