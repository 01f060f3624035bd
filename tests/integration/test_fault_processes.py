"""A collector that is killed, as cron or an engine kills it."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.price_shop import PriceShop, price_shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[PriceShop]:
    """A source of prices and an API."""
    with price_shop(tmp_path) as made:
        yield made


def test_a_collector_that_is_killed_loses_no_price_that_it_reported(shop: PriceShop) -> None:
    chance = random.Random(4)
    reported = 0
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-m", "app.workers.price_collector"],
            env=shop.environment | {"PRICE_POLL_SECONDS": "1", "LOG_FORMAT": "json"},
            cwd=shop.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stderr is not None
            first = next(line for line in child.stderr if '"prices_collected"' in line)
            time.sleep(chance.uniform(0, 1.5))
            child.kill()
            lines = [first, *child.stderr]
        assert child.returncode == -9
        whole = [json.loads(line) for line in lines if line.endswith("}\n")]
        reported += sum(line["event"] == "prices_collected" for line in whole)
        with closing(sqlite3.connect(shop.database)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            stored = connection.execute("SELECT symbol, count(*) FROM prices GROUP BY 1").fetchall()
        counts = {count for _, count in stored}
        # All five of a collection or none, and at the most one more that it had no time to report.
        assert len(stored) == 5
        assert len(counts) == 1
        assert reported <= counts.pop() <= reported + 2
    assert shop.run("--once").returncode == 0
    assert {len(shop.get(f"/history/{symbol}")) for symbol in ("BTC", "DOT")} == {
        len(shop.get("/history/ADA"))
    }
