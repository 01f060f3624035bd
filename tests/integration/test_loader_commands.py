"""The loaders as an operator runs them: real processes, a real exchange, exit codes that tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.core.market import Pair
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation

ROOT = Path(__file__).resolve().parents[2]
PAIRS = {Pair("BTC", "BRL"): None, Pair("ETH", "BRL"): None}


@pytest.fixture
def exchange() -> Exchange:
    """A simulated exchange by the wall clock."""
    return Exchange(Simulation(7, PAIRS), clock=time.time)


@pytest.fixture
def environment(exchange: Exchange, sqlite_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of commands that talk to it."""
    with serve(exchange) as url:
        yield {
            **os.environ,
            "DB_URL": sqlite_url,
            "MB_API_BASE_URL": f"{url}/api/v4",
            "MB_LEGACY_API_BASE_URL": f"{url}/v4",
            "MB_REQUESTS_PER_SECOND": "1000",
            "HISTORY_DAYS": "30",
            "PYTHONPATH": str(ROOT),
        }


def command(
    module: str, environment: dict[str, str], cwd: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, in an empty folder."""
    return subprocess.run(
        [sys.executable, "-m", f"app.workers.{module}", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON that the command ended with."""
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_both_loaders_load_everything_and_exit_0(
    environment: dict[str, str], tmp_path: Path, exchange: Exchange
) -> None:
    first = command("initial_loader", environment, tmp_path, "--json")
    assert first.returncode == 0, first.stderr
    summary = last_line(first)
    assert {item["pair"] for item in summary["series"]} == {"BRLBTC", "BRLETH"}
    assert all(item["inserted"] == 30 + 199 for item in summary["series"])
    exchange.forget_requests()
    second = command("incremental_loader", environment, tmp_path, "--json", "--reread", "5")
    assert second.returncode == 0, second.stderr
    assert [(s["inserted"], s["unchanged"]) for s in last_line(second)["series"]] == [(0, 5)] * 2
    assert len(exchange.requests) == 2


def test_one_failing_pair_leaves_the_others_and_exits_1(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["ALLOWED_PAIRS"] = "BRLBTC,BRLXXX,BRLETH"
    done = command("initial_loader", environment, tmp_path, "--json")
    assert done.returncode == 1
    by_pair = {item["pair"]: item for item in last_line(done)["series"]}
    assert [by_pair[name]["status"] for name in ("BRLBTC", "BRLXXX", "BRLETH")] == [
        "ok",
        "failed",
        "ok",
    ]
    assert by_pair["BRLXXX"]["error"] == "UpstreamRejected"
    assert by_pair["BRLXXX"]["reason"].endswith("check the pair's name in ALLOWED_PAIRS.")
    assert "BRLXXX 1d failed:" in done.stdout
    failures = [line for line in done.stderr.splitlines() if '"load_failed"' in line]
    assert len(failures) == 1


def test_an_exchange_that_is_away_exits_1_and_says_so(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"MB_API_BASE_URL": "http://127.0.0.1:1/api/v4", "ALLOWED_PAIRS": "BRLBTC"}
    environment["UPSTREAM_RETRY_SECONDS"] = "1"
    done = command("initial_loader", environment, tmp_path, "--json")
    assert done.returncode == 1
    assert last_line(done)["series"][0]["unreachable"] is True
    assert "127.0.0.1:1" in last_line(done)["series"][0]["reason"]


def test_a_series_of_which_the_exchange_has_nothing_is_no_success(
    environment: dict[str, str], tmp_path: Path, exchange: Exchange
) -> None:
    exchange.book.remove_span(Pair("BTC", "BRL"), (0, 2**40))
    done = command("initial_loader", environment, tmp_path, "--json", "--pairs", "BRLBTC")
    assert done.returncode == 1
    assert "has no candle of BRLBTC 1d" in last_line(done)["series"][0]["reason"]


@pytest.mark.parametrize(
    ("changes", "arguments", "says"),
    [
        ({"PORT": "many"}, [], "PORT"),
        ({"DB_URL": "oracle://x"}, [], "DB_URL"),
        ({}, ["--pairs", "BRLSOL"], "ALLOWED_PAIRS"),
        ({}, ["--pairs", "?"], "--pairs"),
        ({}, ["--interval", "1h"], "INTERVALS"),
        ({}, ["--interval", "7h"], "7h"),
        ({}, ["--days", "0"], "--days"),
        ({"ENV": "prod", "SINGLE_NODE": "true"}, [], "make migrate"),
        ({"ENV": "prod"}, [], "SINGLE_NODE"),
    ],
)
def test_what_prevents_a_start_is_one_line_and_exit_2(
    environment: dict[str, str],
    tmp_path: Path,
    changes: dict[str, str],
    arguments: list[str],
    says: str,
) -> None:
    done = command("initial_loader", environment | changes, tmp_path, *arguments)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_every_interval_can_be_loaded(environment: dict[str, str], tmp_path: Path) -> None:
    environment |= {
        "INTERVALS": "1m,15m,1h,3h,1d",
        "HISTORY_DAYS": "1",
        "ALLOWED_PAIRS": "BRLBTC",
    }
    done = command("initial_loader", environment, tmp_path, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    inserted = {item["interval"]: item["inserted"] for item in last_line(done)["series"]}
    assert inserted["1d"] == 1 + 199
    assert inserted["3h"] == 8 + 199
    assert inserted["1h"] == 24 + 199
    assert inserted["15m"] == 96 + 199
    assert 0 < inserted["1m"] <= 1440 + 199


def test_help_names_every_option(environment: dict[str, str], tmp_path: Path) -> None:
    for module, option in (("initial_loader", "--days"), ("incremental_loader", "--reread")):
        done = command(module, environment, tmp_path, "--help")
        assert done.returncode == 0
        for name in (option, "--pairs", "--interval", "--json"):
            assert name in done.stdout
