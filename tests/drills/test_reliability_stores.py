"""A database that goes away, and revisions: the measurements, in short.

`make reliability` runs them at full length.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from app.core.errors import StoreError
from app.core.market import Interval
from app.core.settings import load_settings
from app.db.stores.series import SqlSeriesStore
from app.events.types import AveragesCalculated, CandleRevised, CandlesLoaded, Event
from app.services.loading import LoadReport
from benchmarks.reliability import revised
from benchmarks.reliability.content import content, disagreements
from benchmarks.reliability.rig import (
    NOW,
    Where,
    candle_source,
    database,
    exchange,
)
from tests.support import postgres
from tests.support.candles import BTC_DAILY
from tests.support.history import History
from tests.support.loads import incremental
from tests.support.patience import until
from tests.support.postgres import Postgres
from tests.support.reliability import kept
from tests.support.served import Reply, api, get


def test_while_postgresql_is_away_reads_are_503_and_then_all_is_well(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    with postgres.running(postgres_server.tools) as server:
        url = server.create()
        History(url).close()
        settings = {"DB_URL": url, "ALLOWED_PAIRS": "BRLBTC", "CACHE_URL": "none://"}
        with api(tmp_path, "api", **settings) as served:

            def read() -> Reply:
                with closing(served.connect()) as connection:
                    return get(connection, "/BRLBTC/mms?range=20")

            before = read()
            assert before.status == 200
            server.stop()
            until(lambda: read().status == 503)
            server.start()
            until(lambda: read().status == 200)
            assert read().body == before.body


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
            return incremental(
                store,
                source,
                lambda: NOW,
                history_days=30,
                reread=100,
                publish=told.append,
            )

        load()
        before = content(db.engine, BTC_DAILY)
        told.clear()
        stage.faults.add(f"revise=1.5,candle={before.rows[-60].bucket}")
        db.execute(refuse.format(table=table, when=when))
        with pytest.raises((IntegrityError, StoreError), match="refused by the test"):
            load()
        assert content(db.engine, BTC_DAILY) == before
        assert (store.revisions(BTC_DAILY, 9), told) == ([], [])
        db.execute(allow)
        assert (load().revised, len(store.revisions(BTC_DAILY, 9))) == (1, 1)
        after = content(db.engine, BTC_DAILY)
        assert disagreements(after, Interval.DAY.seconds) == []
        assert [type(event) for event in told] == [CandlesLoaded, AveragesCalculated, CandleRevised]
