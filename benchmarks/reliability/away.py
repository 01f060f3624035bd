"""Reads while the exchange is away for a day: all of them answered, and marked once they are stale.

The application runs whole, with its real database and cache, on a clock that is moved through 24 hours.
A loader tries each hour and finds nobody. Whether a reply must say that it is stale is worked out here
from the rule in words: a candle that is not stored closed longer ago than the grace period (an hour, or
the interval where that is shorter), and nobody has asked the exchange since it closed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from app import bootstrap
from app.core.errors import UpstreamUnavailable
from app.core.market import Interval
from app.core.settings import Settings, load_settings
from app.main import create_app
from app.services.loaders import load_incremental, load_initial
from benchmarks.reliability.figures import Figure, Step, figure, no_step
from benchmarks.reliability.rig import BTC, NOW, Where, candle_source, exchange
from tests.support.api import Client, started

INTERVALS: Final = (Interval.DAY, Interval.HOUR, Interval.QUARTER)
HISTORY: Final = 30
AWAY: Final = 24 * 3_600
RETRY: Final = 3_600
SEEN_WITHIN: Final = 0.6
"""Seconds until a process must have noticed a commit, a little more than it promises."""


@dataclass
class Tally:
    """What the reads said."""

    reads: int = 0
    answered: int = 0
    stale: int = 0
    refused_loads: int = 0
    troubles: list[str] = field(default_factory=list)


def measure(where: Where, runs: int = 288, step: Step = no_step) -> list[Figure]:
    """Read every interval at `runs` moments, equally far apart, of a day without the exchange."""
    tally = Tally()
    clock = [float(NOW)]
    with where.databases() as create, exchange(lambda: clock[0]) as (_, base_url):
        settings = _settings(create(), base_url)
        made = bootstrap.build(settings, lambda: clock[0])
        with started(create_app(settings, lambda _settings: made)) as client:
            with candle_source(settings, lambda: clock[0]) as source:
                for interval in INTERVALS:
                    load_initial(
                        made.series, source, made.clock, BTC, interval, history_days=HISTORY
                    )
            nobody = settings.model_copy(update={"mb_api_base_url": _nobody()})
            for number in range(runs):
                before, clock[0] = clock[0], NOW + (number + 1) * AWAY / runs
                if before // RETRY != clock[0] // RETRY:
                    _try_to_load(made, nobody, tally)
                for interval in INTERVALS:
                    _read(client, interval, clock[0], tally)
                step()
            with candle_source(settings, lambda: clock[0]) as source:
                _load(made, source)
            threading.Event().wait(SEEN_WITHIN)
            fresh = [_stale(client.get(target)) for target in _targets(INTERVALS)]
    if any(fresh):
        tally.troubles.append("still marked as stale after the exchange came back")
    return [
        figure(
            "reads while the exchange is away for 24 hours: all 200, marked stale after the grace period",
            where.kind,
            tally.reads,
            f"{100 * tally.answered / max(1, tally.reads):.0f} % are 200, {tally.stale:,} of them marked "
            f"stale, {len(tally.troubles)} wrongly; {tally.refused_loads} loads found nobody",
            tally.troubles,
        )
    ]


def _settings(url: str, base_url: str) -> Settings:
    return load_settings(
        None,
        db_url=url,
        mb_api_base_url=base_url,
        allowed_pairs="BRLBTC",
        intervals=",".join(interval.value for interval in INTERVALS),
        history_days=HISTORY,
        upstream_retry_seconds=0.05,
        access_log="off",
        log_level="ERROR",
    )


def _nobody() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/api/v4"


def _load(made: bootstrap.Runtime, source: Any) -> None:
    for interval in INTERVALS:
        load_incremental(made.series, source, made.clock, BTC, interval, history_days=HISTORY)


def _try_to_load(made: bootstrap.Runtime, settings: Settings, tally: Tally) -> None:
    try:
        with candle_source(settings, made.clock) as source:
            _load(made, source)
    except UpstreamUnavailable:
        tally.refused_loads += 1
    else:
        tally.troubles.append("a load succeeded without an exchange")


def _targets(intervals: Sequence[Interval]) -> list[str]:
    return [
        f"/BRLBTC/{what}{sign}interval={interval}"
        for interval in intervals
        for what, sign in (("mms?range=20", "&"), ("candles", "?"), ("mms?range=200", "&"))
    ]


def _read(client: Client, interval: Interval, now: float, tally: Tally) -> None:
    wanted = _must_be_stale(interval, now)
    for target in _targets([interval]):
        answer = client.get(target)
        tally.reads += 1
        tally.answered += answer.status == 200
        stale = _stale(answer)
        tally.stale += stale
        if answer.status != 200 or stale != wanted:
            tally.troubles.append(
                f"{target} {now - NOW:.0f} s on: {answer.status}, stale {stale}, must be {wanted}"
            )


def _stale(answer: Any) -> bool:
    return bool(answer.header("X-Data-Stale") == "true")


def _must_be_stale(interval: Interval, now: float) -> bool:
    """Whether a candle that closed after the load, at NOW, has been closed for the grace period."""
    step = interval.seconds
    grace = min(3_600, step)
    next_close = (NOW // step + 1) * step
    return now >= next_close + grace
