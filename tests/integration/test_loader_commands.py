"""The loaders as an operator runs them: a real exchange, and exit codes that tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.market import Pair
from app.sandbox.exchange import Exchange
from app.sandbox.simulation import Simulation
from tests.support.commands import BTC, Service, service

LOADER = "workers.initial_loader"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Service]:
    """A service of two pairs with 20 days, nothing loaded yet."""
    exchange = Exchange(Simulation(7, {BTC: None, Pair("ETH", "BRL"): None}), clock=time.time)
    with service(tmp_path, exchange, ALLOWED_PAIRS="BRLBTC,BRLETH") as made:
        yield made


def test_both_loaders_load_everything_and_exit_0(shop: Service) -> None:
    first = shop.run(LOADER)
    assert first.code == 0
    assert [(item["pair"], item["inserted"]) for item in first.summary["series"]] == [
        ("BRLBTC", 20 + 199), ("BRLETH", 20 + 199),
    ]  # fmt: skip
    shop.exchange.forget_requests()
    second = shop.run("workers.incremental_loader", "--reread", "5")
    assert second.code == 0
    done = [(item["inserted"], item["unchanged"]) for item in second.summary["series"]]
    assert done == [(0, 5)] * 2
    assert len(shop.exchange.requests) == 2


def test_one_failing_pair_leaves_the_others_and_exits_1(shop: Service) -> None:
    done = shop.run(LOADER, ALLOWED_PAIRS="BRLBTC,BRLXXX,BRLETH")
    assert done.code == 1
    ends = {item["pair"]: item for item in done.summary["series"]}
    assert {name: item["status"] for name, item in ends.items()} == {
        "BRLBTC": "ok", "BRLXXX": "failed", "BRLETH": "ok",
    }  # fmt: skip
    assert ends["BRLXXX"]["error"] == "UpstreamRejected"
    assert "ALLOWED_PAIRS" in ends["BRLXXX"]["reason"]
    assert done.said.count('"load_failed"') == 1


def test_an_exchange_that_is_away_exits_1_and_says_so(shop: Service) -> None:
    away = {"MB_API_BASE_URL": "http://127.0.0.1:1/api/v4", "UPSTREAM_RETRY_SECONDS": "1"}
    done = shop.run(LOADER, "--pairs", "BRLBTC", **away)
    assert (done.code, done.series["unreachable"]) == (1, True)
    assert "127.0.0.1:1" in done.series["reason"]


@pytest.mark.parametrize(
    ("changes", "arguments", "says"),
    [
        ({"DB_URL": "oracle://x"}, [], "DB_URL"),
        ({}, ["--pairs", "BRLSOL"], "ALLOWED_PAIRS"),
        ({}, ["--pairs", "?"], "BTC-BRL"),
        ({}, ["--interval", "1h"], "INTERVALS"),
        ({}, ["--interval", "7h"], "7h"),
        ({}, ["--days", "0"], "--days"),
        ({"ENV": "prod"}, [], "SINGLE_NODE"),
    ],
)
def test_what_prevents_a_start_is_one_line_and_exit_2(
    shop: Service, changes: dict[str, str], arguments: list[str], says: str
) -> None:
    done = shop.run(LOADER, *arguments, **changes)
    assert done.code == 2
    assert says in done.said.splitlines()[-1]
    assert "Traceback" not in done.said
    assert shop.exchange.requests == ()
