"""When a reply's body was made: by the host's clock, unless that stands still."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from app.core.errors import StoreUnavailable
from app.domain.times import TOLERANCE
from app.sources.host_clock import STANDING, HostClock
from app.sources.replies import Reply
from app.testing.series import MemoryHostClocks
from tests.unit.sources.upstream_fakes import HOST, NOW

PAST = NOW - 9_000


class Passing:
    """Our two clocks, which go on together, and what is kept between two processes."""

    def __init__(self, clocks: MemoryHostClocks | None = None) -> None:
        self.clocks = clocks or MemoryHostClocks()
        self.now = float(NOW)

    def process(self) -> HostClock:
        """What a new process knows: its monotonic clock begins anew."""
        began = self.now
        return HostClock(HOST, lambda: self.now, self.clocks, lambda: self.now - began)


def sent(date: int | None, age: int = 0) -> Reply:
    return Reply([], date, age)


def test_a_clock_that_stands_still_is_noticed_after_a_minute_and_ours_decides() -> None:
    ours = Passing()
    clock = ours.process()
    with capture_logs() as logs:
        assert clock.read(sent(PAST)) == PAST
        ours.now += STANDING - 1
        assert clock.read(sent(PAST)) == PAST
        ours.now += 1
        assert clock.read(sent(PAST)) == ours.now - TOLERANCE
        assert clock.read(sent(PAST, 30)) == PAST - 30
        ours.now += STANDING
        assert clock.read(sent(PAST, 30)) == ours.now - TOLERANCE
        assert clock.read(sent(PAST + 5)) == PAST + 5
    assert [line["event"] for line in logs] == ["host_clock_skew", "host_clock_stands_still"]
    assert (logs[1]["host"], logs[1]["host_time"], logs[1]["our_time"]) == (HOST, PAST, NOW + 60)
    assert "advice" in logs[1]


@pytest.mark.parametrize("moves", [0, 1])
def test_a_stored_copy_whose_age_grows_stays_as_old_as_it_is(moves: int) -> None:
    ours = Passing()
    clock = ours.process()
    with capture_logs() as logs:
        for seconds in range(0, 900, 90):
            ours.now = NOW + seconds
            # A cache keeps the `Date` of the body, or stamps each reply anew.
            read = clock.read(sent(NOW + moves * seconds, seconds))
            assert read == (NOW if moves else NOW - seconds)
            # Nor does another process take it for a standing clock.
            assert ours.process().read(sent(NOW + moves * seconds, seconds)) == read
    assert logs == []


def test_a_standing_clock_is_noticed_across_short_processes_and_a_right_one_keeps_nothing() -> None:
    ours = Passing()
    assert ours.process().read(sent(NOW - TOLERANCE)) == NOW - TOLERANCE
    assert ours.clocks.kept == {}
    assert ours.process().read(sent(PAST)) == PAST
    ours.now += STANDING - 1
    assert ours.process().read(sent(PAST)) == PAST
    ours.now += 1
    assert ours.process().read(sent(PAST)) == ours.now - TOLERANCE
    # It moves, if not by much.
    assert ours.process().read(sent(PAST + 1)) == PAST + 1
    # Our clock is set back: nobody knows how long ago that was.
    ours.now -= 86_400
    assert ours.process().read(sent(PAST + 1)) == PAST + 1
    ours.now += STANDING
    assert ours.process().read(sent(PAST + 1)) == ours.now - TOLERANCE


def test_a_standing_clock_takes_the_word_of_the_same_machine_with_it() -> None:
    ours = Passing()
    clock = ours.process()
    assert clock.read(sent(PAST), PAST) == PAST
    ours.now += STANDING
    assert clock.read(sent(PAST), PAST) == ours.now - TOLERANCE
    only_word = ours.process()
    assert only_word.read(sent(None), PAST + 1) == PAST + 1
    ours.now += STANDING
    assert only_word.read(sent(None), PAST + 1) == ours.now - TOLERANCE


def test_a_database_that_cannot_be_written_leaves_the_host_s_time_in_force() -> None:
    class Broken(MemoryHostClocks):
        def seen(self, host: str, stamp: int, now: float) -> int:
            raise StoreUnavailable("the disk is full")

    assert Passing(Broken()).process().read(sent(PAST)) == PAST


@pytest.mark.parametrize(
    ("date", "age", "stamp"),
    [
        (None, 0, NOW),
        (NOW - TOLERANCE, 0, NOW),
        (NOW - 9_000, 0, NOW - 9_000),
        (NOW + 9_000, 0, NOW + 9_000),
        # Copies of a cache, with a new `Date` or the first one, say nothing against our clock.
        (NOW, 9_000, NOW),
        (NOW - 9_000, 9_000, NOW),
    ],
)
def test_what_a_reply_brought_is_dated_by_our_clock_unless_that_is_off(
    date: int | None, age: int, stamp: int
) -> None:
    clock = Passing().process()
    with capture_logs() as logs:
        assert [clock.stamp(sent(date, age)) for _ in range(2)] == [stamp, stamp]
    skewed = [line["event"] for line in logs if line["event"] == "host_clock_skew"]
    assert skewed == ["host_clock_skew"] * (stamp != NOW)


def test_a_host_s_clock_that_stands_still_dates_nothing() -> None:
    ours = Passing()
    clock = ours.process()
    assert clock.stamp(sent(PAST)) == PAST
    ours.now += STANDING
    assert clock.stamp(sent(PAST)) == ours.now
