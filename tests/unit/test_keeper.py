"""The keeper: what it runs when, and what it tells a person."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.market import Interval
from app.keeper import (
    COLLECTOR,
    INCREMENTAL,
    INITIAL,
    LAST_RETRY,
    ChildEnd,
    Children,
    Companion,
    Keeper,
    next_run,
)

MIDNIGHT = 1_700_006_400
AWAY = ChildEnd(1, {"series": [{"unreachable": True, "reason": "host cannot be reached."}]})
FINE = ChildEnd(0, {"series": []})
TAKEN = ChildEnd(0, {"series": [{"status": "ok"}, {"status": "taken"}]})
REJECTED = ChildEnd(1, {"series": [{"unreachable": False, "reason": "unknown symbol"}]})


class Script(Children):
    """Plays given ends, one a run, and records the modules; the last one stops the keeper."""

    def __init__(self, ends: Sequence[ChildEnd]) -> None:
        super().__init__({})
        self.ends = list(ends)
        self.ran: list[str] = []

    def run(self, module: str, *arguments: str) -> ChildEnd:
        self.ran.append(module)
        return self.ends[len(self.ran) - 1]


def play(ends: Sequence[ChildEnd]) -> tuple[Script, list[str], list[float], int]:
    """Run a keeper over the script; returns it, what was said, the waits, and how often it loaded."""
    script = Script(ends)
    said: list[str] = []
    waits: list[float] = []
    loaded: list[None] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(script.ran) == len(script.ends)

    keeper = Keeper(
        [Interval.DAY],
        script,
        clock=lambda: MIDNIGHT + 3600.0,
        say=said.append,
        loaded=lambda: loaded.append(None),
        wait=wait,
    )
    keeper.run()
    return script, said, waits, len(loaded)


def test_the_first_load_is_the_initial_one_and_then_incremental_ones_follow() -> None:
    script, said, waits, loaded = play([FINE, FINE, FINE])
    assert script.ran == [INITIAL, INCREMENTAL, INCREMENTAL]
    assert said == []
    assert loaded == 1
    assert waits == [86_400 - 3600 + 30.0] * 3


def test_the_initial_load_is_tried_again_until_it_succeeds() -> None:
    script, _, waits, loaded = play([AWAY, REJECTED, FINE, FINE])
    assert script.ran == [INITIAL, INITIAL, INITIAL, INCREMENTAL]
    assert loaded == 1
    assert waits[:2] == [60.0, 120.0]


def test_what_was_left_to_another_loader_is_looked_after_soon() -> None:
    # A loader that was killed leaves its lease behind: until that ends, nobody is loading.
    script, said, waits, loaded = play([TAKEN, TAKEN, FINE, TAKEN, FINE])
    assert script.ran == [INITIAL, INITIAL, INITIAL, INCREMENTAL, INCREMENTAL]
    assert (said, loaded) == ([], 1)
    assert waits == [60.0, 60.0, 86_400 - 3600 + 30.0, 60.0, 86_400 - 3600 + 30.0]


def test_an_outage_is_said_once_in_plain_words_and_so_is_its_end() -> None:
    _, said, _, _ = play([AWAY, AWAY, AWAY, FINE, FINE, AWAY])
    assert len(said) == 3
    assert "host cannot be reached." in said[0]
    assert "make demo" in said[0]
    assert "answers again" in said[1]
    assert said[2] == said[0]


@pytest.mark.parametrize("code", [-2, 130])
def test_a_load_that_a_ctrl_c_ended_is_no_failure(code: int) -> None:
    with capture_logs() as lines:
        script, said, waits, loaded = play([ChildEnd(code, None), FINE])
    assert script.ran == [INITIAL, INITIAL]
    assert (said, loaded, lines) == ([], 1, [])
    assert waits[0] == 60.0


@pytest.mark.parametrize(
    ("code", "level"), [(1, "warning"), (-9, "warning"), (0, "info"), (-2, None), (130, None)]
)
def test_a_companion_that_ends_is_started_again_and_its_end_told_unless_by_a_ctrl_c(
    code: int, level: str | None
) -> None:
    script = Script([ChildEnd(code, None), ChildEnd(code, None)])

    def wait(seconds: float) -> bool:
        assert seconds == 60.0
        return len(script.ran) == 2

    with capture_logs() as lines:
        Companion(COLLECTOR, script, wait=wait).run()
    assert script.ran == [COLLECTOR, COLLECTOR]
    told = {"event": "companion_ended", "command": COLLECTOR, "exit_code": code}
    assert lines == ([{**told, "log_level": level}] * 2 if level else [])


def test_a_failure_that_is_no_outage_does_not_blame_the_network() -> None:
    assert play([REJECTED, ChildEnd(2, None), ChildEnd(1, {}), FINE])[1] == []


@pytest.mark.parametrize(
    ("interval", "now", "due"),
    [
        (Interval.DAY, MIDNIGHT, MIDNIGHT + 30),
        (Interval.DAY, MIDNIGHT + 30, MIDNIGHT + 86_430),
        (Interval.DAY, MIDNIGHT + 86_399, MIDNIGHT + 86_430),
        (Interval.MINUTE, MIDNIGHT + 1, MIDNIGHT + 6),
        (Interval.MINUTE, MIDNIGHT + 59, MIDNIGHT + 66),
    ],
)
def test_a_load_follows_each_close_by_a_little(interval: Interval, now: int, due: int) -> None:
    assert next_run(now, interval, 0) == due


def test_retries_grow_apart_to_a_bound() -> None:
    waits = [next_run(0, Interval.DAY, failures) for failures in range(1, 10)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (60.0, LAST_RETRY)
    assert next_run(0, Interval.DAY, 10_000) == LAST_RETRY


def test_the_shortest_interval_sets_the_rhythm() -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return True

    Keeper(
        [Interval.DAY, Interval.HOUR],
        Script([FINE]),
        clock=lambda: MIDNIGHT,
        say=pytest.fail,
        wait=wait,
    ).run()
    assert waits == [30.0]


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
def test_the_summary_is_the_last_line_where_there_is_one(
    module: str, summary: dict[str, Any] | None, tmp_path: Any
) -> None:
    with (tmp_path / "log").open("w") as log:
        assert Children(dict(os.environ), log).run(module).summary == summary
