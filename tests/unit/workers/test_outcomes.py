"""What is said of loads that ended: a sentence, a line of the log, an exit code."""

from __future__ import annotations

import json

import pytest

from app.core.errors import TakenByAnother, UpstreamUnavailable
from app.core.logging import configure
from app.core.market import RefusedCandle
from app.events.bus import EventBus
from app.events.types import Event, LoadFailed
from app.services.loading import LoadReport
from app.workers.outcomes import REFUSALS_LOGGED, Outcome, conclude, told
from tests.support.api import FakeRuntime, settings
from tests.support.candles import BTC, DAY, ETH, day
from tests.support.logs import log_as_before

ODD = tuple(
    RefusedCandle(day(number), f"The close {number} lies above the high.") for number in range(40)
)
FINE = Outcome(BTC, DAY, LoadReport(BTC, DAY, inserted=3, newest=day(9), revision=7))


def failed(report: LoadReport) -> tuple[str | None, str]:
    end = Outcome(BTC, DAY, report)
    return end.problem, end.kind


def test_a_load_that_brought_something_is_no_problem() -> None:
    assert FINE.problem is None
    assert Outcome(BTC, DAY, LoadReport(BTC, DAY, refused=ODD, newest=day(9))).problem is None


def test_an_exchange_without_a_candle_is_a_problem_of_the_name_or_the_period() -> None:
    problem, kind = failed(LoadReport(BTC, DAY))
    assert kind == "NoCandles"
    assert problem is not None
    assert "no candle of BRLBTC 1d" in problem
    assert "HISTORY_DAYS" in problem


def test_candles_that_were_all_refused_are_counted_and_the_first_one_says_why() -> None:
    problem, kind = failed(LoadReport(BTC, DAY, refused=ODD, newer_refused=ODD[20:]))
    assert kind == "CandlesRefused"
    assert problem is not None
    assert "(40, the first because: The close 0 lies above the high)" in problem
    assert "GET /BRLBTC/quarantine?interval=1d" in problem


def test_newest_candles_that_were_refused_are_a_problem_that_says_where_the_series_ends() -> None:
    report = LoadReport(BTC, DAY, inserted=5, refused=ODD, newer_refused=ODD[38:], newest=day(37))
    problem, kind = failed(report)
    assert kind == "CandlesRefused"
    assert problem is not None
    assert "(2, the first because: The close 38 lies above the high)" in problem
    assert "the series ends with 2020-10-21T00:00:00Z" in problem


def said(
    end: Outcome, capsys: pytest.CaptureFixture[str]
) -> tuple[list[dict[str, object]], list[Event]]:
    """The lines of the log that `told` writes, and what it publishes."""
    published: list[Event] = []
    with log_as_before():
        configure("INFO", "json")
        assert told(end, published.append) is end
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()], published


@pytest.mark.parametrize("newest", [None, day(50)])
@pytest.mark.parametrize("count", [REFUSALS_LOGGED, 40])
def test_a_few_refused_candles_are_in_the_log_and_the_others_are_counted(
    capsys: pytest.CaptureFixture[str], count: int, newest: int | None
) -> None:
    lacking = () if newest else ODD[:count]
    report = LoadReport(BTC, DAY, refused=ODD[:count], newest=newest, newer_refused=lacking)
    lines, published = said(Outcome(BTC, DAY, report), capsys)
    each = [line["reason"] for line in lines if line["event"] == "candle_refused"]
    assert each == [item.reason for item in ODD[: min(count, REFUSALS_LOGGED)]]
    more = [line["count"] for line in lines if line["event"] == "more_candles_refused"]
    assert more == ([count - REFUSALS_LOGGED] if count > REFUSALS_LOGGED else [])
    assert lines[-1]["event"] == ("load_finished" if newest else "load_failed")
    if not newest:
        assert lines[-1]["error"] == "CandlesRefused"
        (event,) = published
        assert isinstance(event, LoadFailed)
        assert (event.error, event.reason) == ("CandlesRefused", lines[-1]["reason"])


def test_the_summary_names_who_failed_who_was_late_and_who_is_fine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = FakeRuntime(events=EventBus({})).build(settings())
    late = TakenByAnother("BRLETH 1d: another loader has just loaded it")
    away = UpstreamUnavailable("The exchange is away.", host="example")
    ends = [FINE, Outcome(ETH, DAY, error=late, taken=True)]
    assert conclude("loader", made, ends, as_json=True) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[-2] == "BRLETH 1d: another loader has just loaded it"
    series = json.loads(shown[-1])["series"]
    assert [item["status"] for item in series] == ["ok", "taken"]
    assert (series[1]["error"], series[1]["reason"]) == ("TakenByAnother", str(late))
    ends = [FINE, Outcome(ETH, DAY, error=late), Outcome(BTC, DAY, error=away)]
    assert conclude("loader", made, ends, as_json=True) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[-3:-1] == [f"BRLETH 1d failed: {late}", "BRLBTC 1d failed: The exchange is away."]
    series = json.loads(shown[-1])["series"]
    assert [item["status"] for item in series] == ["ok", "failed", "failed"]
    assert [item.get("unreachable") for item in series] == [None, False, True]
    made.close()
