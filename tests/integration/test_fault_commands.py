"""The loader and the collector as processes against an exchange that misbehaves: what they exit with
and say, and that they talk to nobody else."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest

from app.core.market import DAY, Interval
from tests.support.processes import api_server
from tests.support.town import CATCH_UP, COLLECTOR, LOADER, MONITOR, Town, by_pair, logged

# The loader with a witness of every address that it asks the name service for or connects to.
WATCHED = """
import json, sys
addresses = set()
def witness(event, arguments):
    if event == "socket.connect":
        addresses.add("%s:%s" % arguments[1][:2])
    elif event == "socket.getaddrinfo":
        addresses.add("%s:%s" % arguments[:2])
sys.addaudithook(witness)
from app.workers.initial_loader import main
code = main([])
print(json.dumps(sorted(addresses)))
sys.exit(code)
"""


# A command whose name service knows nobody, so that nothing is asked of the real one.
NAMELESS = """
import importlib, socket, sys
def deaf(event, arguments):
    if event == "socket.getaddrinfo":
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
sys.addaudithook(deaf)
name, *arguments = sys.argv[1:]
sys.exit(importlib.import_module(f"app.workers.{name}").main(["--json", *arguments]))
"""


def test_each_pair_has_its_own_trouble_and_the_next_run_makes_it_good(town: Town) -> None:
    town.faults(
        "status=403,path=ETH-BRL",
        "status=200,body={},path=SOL-BRL",
        "status=503,path=ADA-BRL",
        "status=500,times=1,path=DOT-BRL",
        "value=0,times=1,candle=-10,path=USDT-BRL",
    )
    pairs = "BRLBTC,BRLETH,BRLSOL,BRLADA,BRLDOT,BRLUSDT,BRLXXX"
    first = town.run(*LOADER, ALLOWED_PAIRS=pairs)
    found = by_pair(first)
    assert first.returncode == 1, first.stderr
    assert "Traceback" not in first.stderr
    errors = {pair: item.get("error") for pair, item in found.items()}
    assert errors == {
        "BRLBTC": None,
        "BRLETH": "UpstreamBlocked",
        "BRLSOL": "UpstreamNonsense",
        "BRLADA": "UpstreamUnavailable",
        "BRLDOT": None,
        "BRLUSDT": None,
        "BRLXXX": "UpstreamRejected",
    }
    inserted = {pair: item.get("inserted", 0) for pair, item in found.items()}
    every = 5 + 199
    assert inserted == dict.fromkeys(found, 0) | {
        "BRLBTC": every,
        "BRLDOT": every,
        "BRLUSDT": every - 1,
    }
    assert [pair for pair, item in found.items() if item.get("unreachable")] == [
        "BRLETH",
        "BRLADA",
    ]
    # Every failure is one line for people and one line in the log, with what to do.
    for pair, item in found.items():
        if item["status"] == "failed":
            assert f"{pair} 1d failed: {item['reason']}\n" in first.stdout
            assert json.dumps(item["reason"], ensure_ascii=False) in first.stderr
    assert "candles_not_used" in first.stderr
    assert "is not above zero" in first.stderr

    town.calm()
    second = town.run(*LOADER, ALLOWED_PAIRS=pairs.removesuffix(",BRLXXX"))
    assert second.returncode == 0, second.stdout + second.stderr
    again = {pair: item["inserted"] for pair, item in by_pair(second).items()}
    assert again == {pair: every - inserted[pair] for pair in again}


def test_a_pause_that_is_longer_than_a_run_ends_it_after_one_request(town: Town) -> None:
    town.faults("status=429,retry-after=120")
    done = town.run(*LOADER, MB_REQUESTS_PER_SECOND="2")
    assert done.returncode == 1
    assert list(town.used().values()) == [1]
    reasons = [item["reason"] for item in by_pair(done).values()]
    assert any("try again in 120 s" in reason for reason in reasons)
    assert all(item["unreachable"] for item in by_pair(done).values())


def test_a_redirect_leads_the_loader_nowhere(town: Town) -> None:
    town.faults(
        "status=302,location=http://169.254.169.254/latest/meta-data/,path=BTC-BRL",
        "status=307,location=http://198.51.100.7:9/x,path=ETH-BRL",
    )
    done = town.run("-c", WATCHED)
    assert done.returncode == 1
    assert "redirects to 169.254.169.254 (302)" in done.stdout
    assert "redirects to 198.51.100.7 (307)" in done.stdout
    assert list(town.used().values()) == [1, 1]
    assert json.loads(done.stdout.splitlines()[-1]) == [town.url.removeprefix("http://")]


def test_the_collector_exits_1_when_its_source_fails_and_0_when_it_recovers(town: Town) -> None:
    # Two seconds are less than the next run waits for its turn.
    town.faults("status=429,retry-after=2,times=1")
    failed = town.run(*COLLECTOR)
    assert failed.returncode == 1
    assert "try again in 2 s" in failed.stdout + failed.stderr
    done = town.run(*COLLECTOR)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])["stored"]) == 5


def test_a_host_whose_name_leads_nowhere_is_exit_1_for_loader_and_collector(town: Town) -> None:
    nowhere = "http://nowhere.example"
    settings = {"MB_API_BASE_URL": nowhere, "COINGECKO_API_BASE_URL": nowhere}
    load = town.run("-c", NAMELESS, "initial_loader", UPSTREAM_RETRY_SECONDS="0.5", **settings)
    collected = town.run("-c", NAMELESS, "price_collector", "--once", **settings)
    assert (load.returncode, collected.returncode) == (1, 1)
    assert {item["error"] for item in by_pair(load).values()} == {"UpstreamUnavailable"}
    for done in (load, collected):
        assert "cannot be reached now" in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert town.stored() == []


def test_what_was_refused_and_what_was_revised_is_seen_in_the_api_and_the_monitor(
    town: Town,
) -> None:
    bad = Interval.DAY.last_closed(time.time()) - 3 * DAY
    town.faults(f"crossed,candle={bad},path=BTC-BRL")
    database = f"sqlite:///{town.folder / 'mms.db'}"
    settings = {"DB_URL": database, "ALLOWED_PAIRS": "BRLBTC", "HISTORY_DAYS": "5"}
    loaded = town.run(*LOADER, **settings)
    assert by_pair(loaded)["BRLBTC"]["refused"] == 1
    assert logged(loaded, "candles_refused", "pair", "count") == [["BRLBTC", 1]]
    with api_server(settings, town.folder) as api:
        (refused,) = api.ask("GET", "/BRLBTC/quarantine")[2]
        assert refused["timestamp"] == bad
        assert "lies above the high" in refused["reason"]
        (gap,) = api.ask("GET", "/BRLBTC/gaps")[2]["gaps"]
        assert (gap["cause"], gap["count"]) == ("refused", 1)
        watched = town.run(*MONITOR, **settings)
        assert watched.returncode == 1
        assert "(1): refused" in watched.stdout
        assert "has 1 refusals on record: GET /BRLBTC/quarantine?interval=1d" in watched.stdout

        town.calm()
        revised = bad - 2 * DAY
        town.faults(f"revise=1.25,candle={revised}")
        done = town.run(*CATCH_UP, "--reread", "10", **settings)
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout.splitlines()[-1])
        assert summary["events"]["CandleRevised"] == 1
        assert logged(done, "candle_revised", "pair", "bucket") == [["BRLBTC", revised]]
        (change,) = api.ask("GET", "/BRLBTC/revisions")[2]
        assert change["timestamp"] == revised
        old, new = (change[f"{which}_close"] for which in ("old", "new"))
        assert abs(new - old * Decimal("1.25")) < Decimal("0.00000001")
        for name in ("open", "volume"):
            assert change[f"new_{name}"] == change[f"old_{name}"]
        (series,) = api.ask("GET", "/pairs")[2]["pairs"]
        assert (series["missing"], series["stale"]) == (0, False)
    assert town.run(*MONITOR, **settings).returncode == 0


@pytest.mark.parametrize("how", [["--once"], ["--fetch", "BTC"]])
def test_a_collection_that_fails_is_an_event_in_the_log_and_a_line_of_json(
    town: Town, how: list[str]
) -> None:
    command = ("-m", "app.workers.price_collector", "--json", *how)
    town.faults("status=500,times=1", "status=200,body={}")
    done = town.run(*command)
    assert done.returncode == 1
    (logged,) = [json.loads(line) for line in done.stderr.splitlines()]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary == {
        "command": "price_collector",
        "exit": 1,
        "error": "UpstreamUnavailable",
        "reason": logged["reason"],
    }
    assert (logged["event"], logged["error"]) == ("price_collection_failed", summary["error"])
    assert "cannot answer now (500 " in logged["reason"]
    assert f"the collection failed: {logged['reason']}\n" in done.stdout
    # The source answers, and knows no price.
    done = town.run(*command)
    assert done.returncode == 1
    refused = json.loads(done.stdout.splitlines()[-1])["refused"]
    logs = [json.loads(line) for line in done.stderr.splitlines()]
    assert {item["symbol"]: item["reason"] for item in logs} == refused
    assert {item["event"] for item in logs} == {"price_refused"}
    assert "BTC" in refused


def test_refused_newest_candles_end_the_loaders_with_1(town: Town) -> None:
    newest = Interval.DAY.last_closed(time.time())
    one = {"ALLOWED_PAIRS": "BRLBTC"}
    town.faults(*(f"missing,candle={newest - number * DAY}" for number in range(4)))
    assert town.run(*LOADER, **one).returncode == 0
    before = town.stored()
    # What happens while nobody loads for four days.
    town.change("UPDATE series SET checked_at = checked_at - 4 * 86400")
    town.change("DELETE FROM absences")
    town.calm()
    town.faults("crossed,candle=all")
    for command in (CATCH_UP, LOADER):
        done = town.run(*command, **one)
        assert (done.returncode, town.stored()) == (1, before)
        found = by_pair(done)["BRLBTC"]
        assert (found["status"], found["error"]) == ("failed", "CandlesRefused")
        assert found["reason"].startswith("the newest candles of BRLBTC 1d were refused (4, ")
        assert "lies above the high" in found["reason"]
        assert f"BRLBTC 1d failed: {found['reason']}\n" in done.stdout
    town.calm()
    assert town.run(*CATCH_UP, **one).returncode == 0
    assert len(town.stored()) == len(before) + 4


def test_a_first_load_of_which_every_candle_is_refused_says_so_and_why(town: Town) -> None:
    town.faults("crossed,candle=all")
    done = town.run(*LOADER, ALLOWED_PAIRS="BRLBTC")
    assert (done.returncode, town.stored()) == (1, [])
    found = by_pair(done)["BRLBTC"]
    assert found["error"] == "CandlesRefused"
    assert found["reason"].startswith("every candle of BRLBTC 1d that came was refused (204, ")
    assert "lies above the high" in found["reason"]
    (line,) = [line for line in done.stderr.splitlines() if '"candles_not_used"' in line]
    assert json.loads(line)["count"] == 204
