"""Processes that are killed, stopped, and many at once: the measurements, in short.

Real commands run against a stand-in exchange and both databases; `make reliability` runs them in
full.
"""

from __future__ import annotations

from benchmarks.reliability import crowds, kills, stops
from benchmarks.reliability.rig import Where
from tests.support.reliability import kept


def test_a_loader_that_is_killed_loses_nothing_it_reported_and_leaves_no_contradiction(
    where: Where,
) -> None:
    kept(kills.measure(where, 2, real=False))


def test_a_loader_that_is_terminated_while_it_works_keeps_its_commits_and_leaves_no_lease(
    where: Where,
) -> None:
    kept(stops.measure(where, 1, situations=["loading"], latest=0.3, within=60.0))


def test_several_loaders_at_once_leave_what_one_leaves(where: Where) -> None:
    kept(crowds.measure(where, 1, many=3))
