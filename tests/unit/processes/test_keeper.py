"""The keeper: what it runs when, and what it tells a person."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import structlog

from app.core.market import Interval
from app.processes.keeper import (
    FIRST_RETRY,
    INCREMENTAL,
    INITIAL,
    LAST_RETRY,
    ChildEnd,
    Children,
    Keeper,
    next_run,
)
from tests.support.processes import DEADLINE, ROOT

MIDNIGHT = 1_700_006_400
OK = {"status": "ok"}
OTHERS = {"status": "taken", "unreachable": False, "reason": "another loader is at it"}
LOST = {"status": "failed", "unreachable": True, "reason": "host cannot be reached."}
WRONG = {"status": "failed", "unreachable": False, "reason": "unknown symbol"}
AWAY = ChildEnd(1, {"series": [LOST, LOST]})
FINE = ChildEnd(0, {"series": [OK, OK]})
TAKEN = ChildEnd(0, {"series": [OTHERS, OTHERS]})
PARTLY_TAKEN = ChildEnd(0, {"series": [OK, OTHERS]})
REJECTED = ChildEnd(1, {"series": [WRONG, WRONG]})
ONE_REJECTED = ChildEnd(1, {"series": [OK, WRONG]})
ONE_LOST = ChildEnd(1, {"series": [OK, LOST]})


class Script(Children):
    """Plays given ends, one a run, and records the modules; the last one stops the keeper."""

    def __init__(self, ends: Sequence[ChildEnd]) -> None:
        super().__init__({})
        self.ends = list(ends)
        self.ran: list[str] = []

    def run(self, module: str, *arguments: str) -> ChildEnd:
        self.ran.append(module)
        return self.ends[len(self.ran) - 1]


def play(
    ends: Sequence[ChildEnd], interval: Interval = Interval.DAY
) -> tuple[Script, list[str], list[float], int]:
    """Run a keeper over the script. Returns it, its messages, its waits and its loads."""
    script = Script(ends)
    said: list[str] = []
    waits: list[float] = []
    loaded: list[None] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(script.ran) == len(script.ends)

    keeper = Keeper(
        # The shortest one sets the rhythm.
        [Interval.DAY, interval],
        script,
        clock=lambda: MIDNIGHT + 3600.0,
        say=said.append,
        hint="in the meantime",
        loaded=lambda: loaded.append(None),
        wait=wait,
    )
    keeper.run()
    return script, said, waits, len(loaded)


def test_the_first_load_is_the_initial_one_and_then_incremental_ones_follow() -> None:
    script, said, waits, loaded = play([AWAY, REJECTED, FINE, FINE])
    assert script.ran == [INITIAL, INITIAL, INITIAL, INCREMENTAL]
    assert ["answers again" in line for line in said] == [False, True]
    assert loaded == 1
    assert waits == [60.0, 120.0] + [86_400 - 3600 + 30.0] * 2


def test_what_was_left_to_another_loader_is_looked_after_soon() -> None:
    # A loader that was killed leaves its lease behind: until that ends, nobody is loading.
    script, said, waits, loaded = play([TAKEN, PARTLY_TAKEN, FINE, TAKEN, FINE])
    assert script.ran == [INITIAL, INITIAL, INCREMENTAL, INCREMENTAL, INCREMENTAL]
    assert (said, loaded) == ([], 1)
    assert waits == [60.0, 60.0, 86_400 - 3600 + 30.0, 60.0, 86_400 - 3600 + 30.0]


@pytest.mark.parametrize("partly", [ONE_REJECTED, ONE_LOST, ChildEnd(0, PARTLY_TAKEN.summary)])
def test_one_series_that_fails_for_ever_delays_no_other(partly: ChildEnd) -> None:
    script, _, waits, loaded = play([partly] * 4, Interval.MINUTE)
    assert loaded == 1
    assert script.ran == [INITIAL] + [INCREMENTAL] * 3
    assert waits == [6.0] * 4


def test_an_outage_is_over_when_no_series_is_lost_any_more() -> None:
    _, said, _, _ = play([ONE_LOST, AWAY, ONE_LOST, REJECTED, ONE_REJECTED, ONE_LOST, FINE])
    assert ["answers again" in line for line in said] == [False, True, False, True]
    assert said[1] == "The exchange answers again."
    assert said[3] == "The exchange answers again; what was missed has been loaded."


def test_whatever_goes_wrong_beside_a_load_the_next_one_still_runs() -> None:
    script, waits = Script([FINE, ChildEnd(0, {"series": 1}), FINE]), list[float]()

    def fail(*_: str) -> None:
        raise BrokenPipeError("nobody reads this any more")

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(script.ran) == len(script.ends)

    with structlog.testing.capture_logs() as logged:
        Keeper(
            [Interval.DAY], script, clock=lambda: MIDNIGHT, say=fail, loaded=fail, wait=wait
        ).run()
    assert script.ran == [INITIAL, INCREMENTAL, INCREMENTAL]
    assert waits == [FIRST_RETRY, FIRST_RETRY, 30.0]
    assert [line["event"] for line in logged] == ["keeper_crashed"] * 2


def test_an_outage_is_said_once_in_plain_words_and_so_is_its_end() -> None:
    _, said, _, _ = play([AWAY, AWAY, AWAY, FINE, FINE, AWAY])
    assert len(said) == 3
    assert "host cannot be reached." in said[0]
    assert said[0].endswith("\nin the meantime")
    assert "answers again" in said[1]
    assert said[2] == said[0]


@pytest.mark.parametrize("code", [-2, 130])
def test_a_load_that_a_ctrl_c_ended_is_no_failure(code: int) -> None:
    with structlog.testing.capture_logs() as lines:
        script, said, waits, loaded = play([ChildEnd(code, None), FINE])
    assert script.ran == [INITIAL, INITIAL]
    assert (said, loaded, lines) == ([], 1, [])
    assert waits[0] == 60.0


def test_a_failure_that_is_no_outage_does_not_blame_the_network() -> None:
    assert play([REJECTED, ChildEnd(2, None), ChildEnd(1, {}), FINE])[1] == []


@pytest.mark.parametrize(
    ("interval", "now", "due"),
    [
        (Interval.DAY, MIDNIGHT, MIDNIGHT + 30),
        (Interval.DAY, MIDNIGHT + 30, MIDNIGHT + 300),
        (Interval.DAY, MIDNIGHT + 300, MIDNIGHT + 86_430),
        (Interval.QUARTER, MIDNIGHT + 30, MIDNIGHT + 300),
        (Interval.DAY, MIDNIGHT + 86_399, MIDNIGHT + 86_430),
        (Interval.MINUTE, MIDNIGHT + 1, MIDNIGHT + 6),
        (Interval.MINUTE, MIDNIGHT + 59, MIDNIGHT + 66),
    ],
)
def test_a_load_follows_each_close_by_a_little_and_another_one_where_the_candle_came_late(
    interval: Interval, now: int, due: int
) -> None:
    assert next_run(now, interval, 0) == due


def test_retries_grow_apart_to_a_bound_and_wait_for_no_close() -> None:
    waits = [next_run(3600, Interval.DAY, failures) - 3600 for failures in (1, 2, 3, 9, 10_000)]
    assert waits == [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY, LAST_RETRY, LAST_RETRY]
    assert next_run(MIDNIGHT + 7, Interval.MINUTE, 5) == MIDNIGHT + 66


def test_a_stop_ends_the_running_child_and_starts_no_other() -> None:
    children = Children(dict(os.environ))
    results: list[ChildEnd] = []
    running = threading.Thread(target=lambda: results.append(children.run("tests.support.sleeper")))
    running.start()
    deadline = threading.Event()
    while children._running is None and not deadline.wait(0.01):
        assert running.is_alive()
    children.stop()
    running.join(timeout=20)
    assert not running.is_alive()
    assert results[0].code != 0
    assert children.run("tests.support.sleeper") == ChildEnd(-1, None)


@pytest.mark.parametrize(
    ("module", "summary"),
    [("tests.support.summary", {"ok": [1]}), ("this", None), ("tests.support", None)],
)
def test_the_summary_is_the_line_of_json_and_what_is_for_people_is_not_shown(
    capfd: pytest.CaptureFixture[str], module: str, summary: dict[str, Any] | None
) -> None:
    assert Children(dict(os.environ)).run(module).summary == summary
    assert "for people" not in capfd.readouterr().err


def test_a_child_that_the_system_cannot_start_is_tried_again() -> None:
    # No system takes an environment of three megabytes.
    children, waits = Children({**os.environ, "TOO_MUCH": "x" * 3_000_000}), list[float]()

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) == 2

    with structlog.testing.capture_logs() as logged:
        Keeper([Interval.DAY], children, clock=lambda: MIDNIGHT, say=pytest.fail, wait=wait).run()
    assert waits == [FIRST_RETRY] * 2
    assert [line["event"] for line in logged] == ["keeper_crashed"] * 2


PARENT = """
import os
from app.processes.keeper import Children
Children(dict(os.environ)).run("tests.support.sleeper")
"""


def test_a_child_ends_with_its_parent_even_when_that_is_killed() -> None:
    # Both write to one pipe, which ends when the last of them has.
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stderr is not None
        assert parent.stderr.readline() == "asleep\n"
        parent.kill()
        assert parent.communicate(timeout=DEADLINE)[1] == ""
