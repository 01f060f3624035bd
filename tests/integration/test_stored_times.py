"""Times in the database that no date can name, by another program: no reply fails for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from app import bootstrap
from app.core.prices import Coin, SpotPrice
from app.db import schema
from app.db.database import open_engine
from app.db.session import SQLITE, transaction
from app.db.stores.prices import SqlPriceStore
from app.db.stores.series import SqlSeriesStore
from app.main import create_app
from tests.support.api import LAST, NOW, UNLIMITED, Client, settings, started
from tests.support.candles import BTC_DAILY, candle

DAY = 86_400
ABSENT = LAST - 10 * DAY


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    """A database of each kind, with a row in each table that holds times."""
    made = open_engine(db_url)
    schema.migrate(made)
    with SqlSeriesStore(made).begin(BTC_DAILY) as unit:
        unit.put_candles([candle(LAST, 5)])
        unit.note_absent([ABSENT], NOW - 7_200)
        unit.finish(changed=True, now=NOW)
    SqlPriceStore(made).add([SpotPrice(Coin("BTC", "bitcoin"), 10**8, "usd", NOW)], NOW)
    yield made
    made.dispose()


@pytest.fixture
def api(engine: Engine, db_url: str) -> Iterator[Client]:
    """The API over that database."""
    chosen = settings(db_url=db_url, **UNLIMITED)
    with started(create_app(chosen, lambda s: bootstrap.for_api(s, lambda: NOW))) as client:
        yield client


def test_a_time_that_no_date_can_name_is_absent_and_no_reply_fails(
    engine: Engine, api: Client
) -> None:
    assert api.get("/pairs").json()["pairs"][0]["checked_at"] == "2024-03-30T10:00:00Z"
    assert {gap["cause"] for gap in api.get("/BRLBTC/gaps").json()["gaps"]} >= {"absent"}
    assert len(api.get("/history/BTC").json()) == 1
    values = ["253402300800", "-1", str(2**63 - 1), str(-(2**63))]
    if engine.dialect.name == SQLITE:  # whose columns take text, too
        values.append("'soon'")
    for value in values:
        with transaction(engine) as connection:
            for change in (
                f"series SET checked_at = {value}",
                f"absences SET first_asked_at = {value}, last_asked_at = {value}",
                f"prices SET priced_at = {value}, collected_at = {value}",
            ):
                connection.execute(text(f"UPDATE {change}"))
        pair, _ = api.get("/pairs").json()["pairs"]
        gaps = api.get("/BRLBTC/gaps").json()
        assert (pair["checked_at"], gaps["checked_at"], gaps["checked_age_seconds"]) == (None,) * 3
        assert gaps["missing"] == 364
        assert api.get("/history/BTC").json() == []
        assert api.get("/anomaly/BTC").json()["outcome"] == "insufficient"
        assert api.get("/BRLBTC/mms?range=20").status == 200
