"""What is said of loads that ended: a sentence, a line of the log, an exit code."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from app.core.errors import TakenByAnother, UpstreamUnavailable
from app.core.market import RefusedCandle
from app.events.bus import EventBus
from app.events.types import Event, LoadFailed
from app.services.loading import LoadReport
from app.workers.outcomes import Outcome, announce, conclude
from tests.support.api import FakeRuntime, settings
from tests.support.candles import BTC_DAILY, ETH_DAILY, day

ODD = tuple(
    RefusedCandle(day(number), f"The close {number} lies above the high.") for number in range(40)
)
FINE = Outcome(BTC_DAILY, LoadReport(BTC_DAILY, inserted=3, newest=day(9), revision=7))


def failed(report: LoadReport) -> tuple[str | None, str]:
    end = Outcome(BTC_DAILY, report)
    return end.problem, end.kind


def test_an_exchange_without_a_candle_is_a_problem_of_the_name_or_the_clock() -> None:
    problem, kind = failed(LoadReport(BTC_DAILY))
    assert kind == "NoCandles"
    assert problem is not None
    assert "no closed candle of BRLBTC 1d" in problem
    assert "the pair's name and this machine's clock" in problem
    assert "HISTORY_DAYS" not in problem


def test_candles_that_were_all_refused_are_counted_and_the_first_one_says_why() -> None:
    problem, kind = failed(LoadReport(BTC_DAILY, refused=ODD, newer_refused=ODD[20:]))
    assert kind == "CandlesRefused"
    assert problem is not None
    assert "(40, the first because: The close 0 lies above the high)" in problem
    assert "GET /BRLBTC/quarantine?interval=1d" in problem


def test_newest_candles_that_were_refused_are_a_problem_that_says_where_the_series_ends() -> None:
    report = LoadReport(BTC_DAILY, inserted=5, refused=ODD, newer_refused=ODD[38:], newest=day(37))
    problem, kind = failed(report)
    assert kind == "CandlesRefused"
    assert problem is not None
    assert "(2, the first because: The close 38 lies above the high)" in problem
    assert "the series ends with 2020-10-21T00:00:00Z" in problem


def test_refused_candles_are_counted_in_the_log_and_a_failed_load_is_told() -> None:
    published: list[Event] = []
    lacking = Outcome(BTC_DAILY, LoadReport(BTC_DAILY, refused=ODD, newer_refused=ODD))
    with capture_logs() as lines:
        announce(lacking, published.append)
    counted, ended = lines
    assert (counted["count"], counted["first"]) == (40, ODD[0].reason)
    assert (ended["event"], ended["error"]) == ("load_failed", "CandlesRefused")
    assert published == [LoadFailed(BTC_DAILY, "CandlesRefused", ended["reason"])]


def test_candles_without_a_volume_are_counted_beside_the_refused_ones_and_fail_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = Outcome(BTC_DAILY, LoadReport(BTC_DAILY, 3, newest=day(9), without_volume=2))
    with capture_logs() as lines:
        announce(outcome, lambda _event: None)
    counted, ended = lines
    assert (counted["event"], counted["count"]) == ("candles_without_volume", 2)
    assert (ended["event"], ended["refused"], ended["without_volume"]) == ("load_finished", 0, 2)
    runtime = FakeRuntime(events=EventBus({})).build(settings())
    assert conclude("loader", runtime, [outcome], as_json=True) == 0
    *_, told, line = capsys.readouterr().out.splitlines()
    assert "2 candles came without a usable volume, and are used: GET /BRLBTC/quarantine" in told
    (series,) = json.loads(line)["series"]
    assert (series["refused"], series["without_volume"]) == (0, 2)
    runtime.close()


def test_the_summary_names_who_failed_who_was_late_and_who_is_fine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = FakeRuntime(events=EventBus({})).build(settings())
    late = TakenByAnother("BRLETH 1d: another loader has just loaded it")
    away = UpstreamUnavailable("The exchange is away.", host="example")
    ends = [FINE, Outcome(ETH_DAILY, error=late, taken=True)]
    assert conclude("loader", made, ends, as_json=True) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2] == "BRLETH 1d: another loader has just loaded it"
    series = json.loads(shown[-1])["series"]
    assert [item["status"] for item in series] == ["ok", "taken"]
    assert (series[1]["error"], series[1]["reason"]) == ("TakenByAnother", str(late))
    ends = [FINE, Outcome(ETH_DAILY, error=late), Outcome(BTC_DAILY, error=away)]
    assert conclude("loader", made, ends, as_json=True) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[-3:-1] == [f"BRLETH 1d failed: {late}", "BRLBTC 1d failed: The exchange is away."]
    series = json.loads(shown[-1])["series"]
    assert [item["status"] for item in series] == ["ok", "failed", "failed"]
    assert [item.get("unreachable") for item in series] == [None, False, True]
    made.close()
