"""The drill's judges notice what they are there for."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.core.market import DAY
from app.sandbox.exchange import Exchange
from app.sandbox.simulation import Simulation
from benchmarks.reliability.rig import BTC, ETH, SEED
from benchmarks.topology.load import Load
from benchmarks.topology.market import AHEAD, Market
from benchmarks.topology.reader import Judge, Read, Reply, Target
from benchmarks.topology.results import SERVED_WITHIN, Result, Step, judged, lateness


@pytest.fixture(scope="module")
def market() -> Market:
    """A market that has let two days out."""
    made = Market(Exchange(Simulation(SEED, {BTC: None, ETH: None}), clock=time.time))
    made.advance()
    made.advance()
    return made


def reply(newest: int, body: bytes, tag: str = '"a"', status: int = 200) -> Reply:
    as_of = datetime.fromtimestamp(newest, UTC).isoformat()
    return Reply(status, {"x-data-as-of": as_of, "etag": tag}, body)


def test_each_version_shows_one_day_more_and_changes_the_one_before(market: Market) -> None:
    versions = market.versions[BTC]
    assert len(versions) == 3
    assert market.hidden == AHEAD - 2
    older, newer = (versions[market.newest - DAY].rows, versions[market.newest].rows)
    assert newer[-1].bucket == market.newest
    assert [row.close for row in newer[:-2]] == [row.close for row in older[:-1]]
    assert newer[-2].close != older[-1].close
    assert newer[-2].mms_200 != older[-1].mms_200


def test_a_body_must_be_that_of_the_version_that_the_reply_shows(market: Market) -> None:
    judge = Judge(market)
    for target in judge.targets():
        versions = market.versions[target.pair]
        bodies = [target.right(versions[day]) for day in sorted(versions)]
        assert len(set(bodies)) == 3
        for number, day in enumerate(sorted(versions)):
            tag = f'"{number}"'
            assert judge.wrong(target, reply(day, bodies[number], tag), None) == (day, "")
            mixed = reply(day, bodies[number - 1], tag)
            assert "in place of" in judge.wrong(target, mixed, None)[1]
            cut = reply(day, bodies[number][:-1], tag)
            assert judge.wrong(target, cut, None)[1]


def test_a_tag_stands_for_one_version_everywhere(market: Market) -> None:
    judge = Judge(market)
    target: Target = judge.targets()[0]
    body = target.right(market.versions[target.pair][market.newest])
    assert judge.wrong(target, reply(market.newest, body), None)[1] == ""
    assert "for what had" in judge.wrong(target, reply(market.newest, body, '"b"'), None)[1]
    unchanged = reply(market.newest, b"", status=304)
    assert judge.wrong(target, unchanged, '"a"')[1] == ""
    assert "304" in judge.wrong(target, unchanged, '"b"')[1]
    nobodys = reply(market.newest + DAY, body)
    assert "not the newest day of any version" in judge.wrong(target, nobodys, None)[1]


def test_late_is_what_shows_a_version_after_the_next_one_was_committed() -> None:
    commits = {BTC: {DAY: 100.0, 2 * DAY: 200.0}, ETH: {}}
    read = Read(203.5, 0.1, BTC, DAY)
    assert lateness(commits, read) == 3.5
    assert lateness(commits, replace(read, begun=199.0)) == 0.0
    assert lateness(commits, replace(read, newest=2 * DAY)) == 0.0
    assert lateness(commits, replace(read, newest=None)) == 0.0


GOOD = Result(Step("s", "a step"), Load(500, 0, 10.0, 1.0, 2.0, 9_000), 500, 0, 0, 0.5, 0.1, 0)


@pytest.mark.parametrize(
    "changed",
    [
        replace(GOOD, load=replace(GOOD.load, failed=1)),
        replace(GOOD, load=replace(GOOD.load, requests=5)),
        replace(GOOD, reads=5),
        replace(GOOD, late=SERVED_WITHIN + 0.1),
    ],
)
def test_a_promise_that_is_not_kept_or_not_tried_is_a_trouble(changed: Result) -> None:
    assert judged(replace(GOOD, troubles=[])).troubles == []
    assert judged(replace(changed, troubles=[])).troubles
