"""Loader, collector and monitor against a faulty exchange: exit codes, messages, no other host."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.market import DAY
from app.sandbox.exchange import Exchange
from app.sandbox.simulation import Simulation
from tests.support.commands import Ended, Service, days_ago, service
from tests.support.processes import api_server

LOADER = "workers.initial_loader"
CATCH_UP = "workers.incremental_loader"
COLLECTOR = "workers.price_collector"
EVERY = 5 + 199


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Service]:
    """A service of one pair with five days, nothing loaded yet; the exchange has more pairs."""
    exchange = Exchange(Simulation(1), clock=time.time)
    with service(tmp_path, exchange, HISTORY_DAYS="5", UPSTREAM_RETRY_SECONDS="3") as made:
        yield made


def by_pair(done: Ended) -> dict[str, dict[str, Any]]:
    """The summary that a loader ended with."""
    return {item["pair"]: item for item in done.summary["series"]}


def logged(done: Ended, event: str, *names: str) -> list[list[Any]]:
    """These values of each line that the command logged of an event."""
    lines = [json.loads(line) for line in done.said.splitlines() if line.startswith("{")]
    return [[line[name] for name in names] for line in lines if line["event"] == event]


def test_each_pair_has_its_own_trouble_and_the_next_run_makes_it_good(shop: Service) -> None:
    shop.exchange.faults.add(
        "status=403,path=ETH-BRL",
        "status=200,body={},path=SOL-BRL",
        "status=503,path=ADA-BRL",
        "status=500,times=1,path=DOT-BRL",
        "value=0,times=1,candle=-10,path=USDT-BRL",
    )
    pairs = "BRLBTC,BRLETH,BRLSOL,BRLADA,BRLDOT,BRLUSDT"
    first = shop.run(LOADER, ALLOWED_PAIRS=pairs)
    found = by_pair(first)
    assert first.code == 1
    assert {pair: (item.get("error"), item.get("inserted", 0)) for pair, item in found.items()} == {
        "BRLBTC": (None, EVERY),
        "BRLETH": ("UpstreamBlocked", 0),
        "BRLSOL": ("UpstreamNonsense", 0),
        "BRLADA": ("UpstreamUnavailable", 0),
        "BRLDOT": (None, EVERY),
        "BRLUSDT": (None, EVERY - 1),
    }
    unreachable = [pair for pair, item in found.items() if item.get("unreachable")]
    assert unreachable == ["BRLETH", "BRLADA"]
    # Every failure is one line for people and one line in the log, with what to do.
    for pair, item in found.items():
        if item["status"] == "failed":
            assert f"{pair} 1d failed: {item['reason']}\n" in first.said
            assert [item["reason"]] in logged(first, "load_failed", "reason")
    ((reason,),) = logged(first, "candles_not_used", "first")
    assert "is not above zero" in reason

    shop.exchange.faults.clear()
    second = shop.run(LOADER, ALLOWED_PAIRS=pairs)
    assert second.code == 0
    again = {pair: item["inserted"] for pair, item in by_pair(second).items()}
    assert again == {pair: EVERY - item.get("inserted", 0) for pair, item in found.items()}


def test_a_pause_that_is_longer_than_a_run_ends_it_after_one_request(shop: Service) -> None:
    shop.exchange.faults.add("status=429,retry-after=120")
    # Two turns a second: the second pair's comes after the first one's reply.
    done = shop.run(LOADER, ALLOWED_PAIRS="BRLBTC,BRLETH", MB_REQUESTS_PER_SECOND="2")
    assert done.code == 1
    assert len(shop.exchange.requests) == 1
    assert any("try again in 120 s" in item["reason"] for item in by_pair(done).values())
    assert all(item["unreachable"] for item in by_pair(done).values())


def test_a_redirect_leads_the_loader_nowhere(shop: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
        shop.exchange.faults.add(f"status=302,location={address}")
        done = shop.run(LOADER)
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert (done.code, done.series["error"]) == (1, "UpstreamNonsense")
    assert "redirects to 127.0.0.1 (302)" in done.series["reason"]
    assert len(shop.exchange.requests) == 1


def test_what_was_refused_and_what_was_revised_is_seen_in_the_api_and_the_monitor(
    shop: Service,
) -> None:
    bad = days_ago(3)
    shop.exchange.faults.add(f"crossed,candle={bad}")
    loaded = shop.run(LOADER)
    assert loaded.series["refused"] == 1
    assert logged(loaded, "candles_refused", "pair", "count") == [["BRLBTC", 1]]
    with api_server({"DB_URL": f"sqlite:///{shop.database}", **shop.settings}, shop.folder) as api:
        (refused,) = api.ask("GET", "/BRLBTC/quarantine")[2]
        assert refused["timestamp"] == bad
        assert "lies above the high" in refused["reason"]
        (gap,) = api.ask("GET", "/BRLBTC/gaps")[2]["gaps"]
        assert (gap["cause"], gap["count"]) == ("refused", 1)
        watched = shop.run("monitoring.gap_monitor")
        assert watched.code == 1
        assert "(1): refused" in watched.said
        assert "GET /BRLBTC/quarantine?interval=1d" in watched.said

        shop.exchange.faults.clear()
        revised = bad - 2 * DAY
        shop.exchange.faults.add(f"revise=1.25,candle={revised}")
        done = shop.run(CATCH_UP, "--reread", "10")
        assert done.code == 0
        assert done.summary["events"]["CandleRevised"] == 1
        assert logged(done, "candle_revised", "pair", "bucket") == [["BRLBTC", revised]]
        (change,) = api.ask("GET", "/BRLBTC/revisions")[2]
        assert change["timestamp"] == revised
        old, new = (change[f"{which}_close"] for which in ("old", "new"))
        assert abs(new - old * Decimal("1.25")) < Decimal("0.00000001")
        for name in ("open", "volume"):
            assert change[f"new_{name}"] == change[f"old_{name}"]
    assert shop.run("monitoring.gap_monitor").code == 0


@pytest.mark.parametrize("how", [["--once"], ["--fetch", "BTC"]])
def test_a_collection_that_fails_is_an_event_in_the_log_and_a_line_of_json(
    shop: Service, how: list[str]
) -> None:
    shop.exchange.faults.add("status=500,times=1", "status=200,body={},times=1")
    done = shop.run(COLLECTOR, *how)
    ((error, reason),) = logged(done, "price_collection_failed", "error", "reason")
    assert done.code == 1
    assert done.summary == {
        "command": "price_collector",
        "exit": 1,
        "error": "UpstreamUnavailable",
        "reason": reason,
    }
    assert error == "UpstreamUnavailable"
    assert "(500 " in reason
    # The source answers, and knows no price.
    done = shop.run(COLLECTOR, *how)
    assert done.code == 1
    assert dict(logged(done, "price_refused", "symbol", "reason")) == done.summary["refused"]
    assert "BTC" in done.summary["refused"]
    assert shop.run(COLLECTOR, *how).code == 0


def test_refused_newest_candles_end_the_loaders_with_1(shop: Service) -> None:
    shop.exchange.faults.add(*(f"missing,candle={days_ago(number)}" for number in range(4)))
    assert shop.run(LOADER).code == 0
    before = shop.rows()
    # What happens while nobody loads for four days.
    shop.query("UPDATE series SET checked_at = checked_at - 4 * 86400")
    shop.query("DELETE FROM absences")
    shop.exchange.faults.clear()
    shop.exchange.faults.add("crossed,candle=all")
    for command in (CATCH_UP, LOADER):
        done = shop.run(command)
        assert (done.code, shop.rows()) == (1, before)
        assert (done.series["status"], done.series["error"]) == ("failed", "CandlesRefused")
        assert "lies above the high" in done.series["reason"]
    shop.exchange.faults.clear()
    assert shop.run(CATCH_UP).code == 0
    assert len(shop.rows()) == len(before) + 4
