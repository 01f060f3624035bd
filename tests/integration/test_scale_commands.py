"""Prices that suddenly come at another scale: nothing is stored, and the command says so.

Where a series may be hit is tested with the service (tests/unit/services/test_comparing.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.sandbox.exchange import Exchange
from app.sandbox.simulation import Simulation
from tests.support.candles import BTC, ETH
from tests.support.commands import Service, days_ago, service

LOADER = "workers.initial_loader"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Service]:
    with service(tmp_path, HISTORY_DAYS="5") as made:
        yield made


def quarantined(shop: Service) -> list[int]:
    """The buckets of what was refused."""
    found = shop.query("SELECT bucket FROM quarantine ORDER BY bucket")
    return [bucket for (bucket,) in found]


def whole(shop: Service, days: str) -> list[object]:
    """What an undisturbed load of the same history leaves."""
    shop.database.unlink()
    assert shop.run(LOADER, HISTORY_DAYS=days).code == 0
    return shop.rows()


def test_a_deeper_history_at_another_scale_is_not_stored_and_comes_once_it_is_right(
    shop: Service,
) -> None:
    assert shop.run(LOADER).code == 0
    before = shop.rows()
    # The first request is for the newest candles, which come as they should.
    shop.exchange.faults.add("scale=100,after=1")
    done = shop.run(LOADER, HISTORY_DAYS="30")
    assert (done.code, done.series["error"]) == (1, "PriceScaleChanged")
    assert shop.rows() == before
    assert "multiplied by 100" in done.series["reason"]
    # The 25 days that were wanted, and those they were compared by.
    oldest = 30 + 199 - 1
    assert quarantined(shop) == [days_ago(n) for n in range(oldest, oldest - 25 - 3, -1)]
    shop.exchange.faults.clear()
    assert shop.run(LOADER, HISTORY_DAYS="30").code == 0
    assert shop.rows() == whole(shop, "30")


def test_a_reload_takes_the_new_scale_of_one_pair_and_leaves_the_rest(tmp_path: Path) -> None:
    exchange = Exchange(Simulation(5, {BTC: None, ETH: None}), clock=time.time)
    with service(tmp_path, exchange, HISTORY_DAYS="5", ALLOWED_PAIRS="BRLBTC,BRLETH") as shop:
        assert shop.run(LOADER).code == 0
        assert shop.run("workers.price_collector", "--once").code == 0
        before, prices = (shop.query(f"SELECT * FROM {name}") for name in ("candles", "prices"))
        shop.exchange.faults.add("scale=100")
        done = shop.run("workers.incremental_loader", "--pairs", "BRLBTC")
        assert "python -m app reload BRLBTC" in done.series["reason"]
        assert shop.run("workers.reload", "BRLBTC").code == 0
        assert shop.run("workers.incremental_loader", "--pairs", "BRLBTC").code == 0
        after = shop.query("SELECT * FROM candles")
        assert [row for row in after if row[0] != "BTC-BRL"] == [
            row for row in before if row[0] != "BTC-BRL"
        ]
        closes = [[row[6] for row in rows if row[0] == "BTC-BRL"] for rows in (before, after)]
        assert closes[1] == [close * 100 for close in closes[0]]
        assert shop.query("SELECT * FROM prices") == prices
        assert shop.run("workers.reload", "BRLXYZ").code == 2
