"""Reads from memory alone: who has to ask, how old the others' answers are, and restores."""

from __future__ import annotations

from app.db.cache.averages import BELIEVED_AFTER, CHECK_EVERY
from tests.support.cached import ACROSS, BTC_MINUTES, START, STEP, WITHIN, Stand
from tests.support.means import rows_in


def known(stand: Stand) -> int | None:
    """The revision that a read from memory may show."""
    state = stand.store.warm_state(BTC_MINUTES)
    return None if state is None else state.revision


def test_memory_has_what_was_read_before_in_whole_blocks_and_asks_nobody() -> None:
    stand = Stand()
    stand.source.commit(ACROSS)
    assert known(stand) is None
    whole = stand.read()
    stand.questions()
    state = stand.store.warm_state(BTC_MINUTES)
    assert state is stand.store.warm_state(BTC_MINUTES)
    assert state is not None
    for first in range(START - 40 * STEP, START + 40 * STEP, 7 * STEP):
        part = stand.store.warm_read(BTC_MINUTES, 20, first, first + 20 * STEP, state)
        assert part == stand.read(first, first + 20 * STEP)
    assert stand.store.warm_read(BTC_MINUTES, 20, 0, 2**40, state) == whole
    assert stand.store.warm_read(BTC_MINUTES, 50, 0, 2**40, state) is None
    assert stand.questions() == []


def test_one_caller_asks_once_the_revision_is_old_and_the_others_keep_it_for_a_second() -> None:
    stand = Stand()
    first = stand.source.commit(WITHIN)
    stand.read()
    second = stand.source.commit(ACROSS)
    stand.clock.now += CHECK_EVERY - 0.001
    assert [known(stand) for _ in range(3)] == [first] * 3
    stand.clock.now += 0.001
    assert [known(stand) for _ in range(3)] == [None, first, first]
    stand.clock.now += CHECK_EVERY - 0.001
    assert known(stand) == first
    stand.clock.now += 0.001
    assert [known(stand) for _ in range(3)] == [None, None, None]
    stand.read()
    assert [known(stand) for _ in range(3)] == [second] * 3


def test_an_equal_state_stays_the_same_object() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    state = stand.store.warm_state(BTC_MINUTES)
    stand.clock.now += CHECK_EVERY
    stand.read()
    assert stand.store.warm_state(BTC_MINUTES) is state


def test_a_lower_revision_is_believed_once_it_was_seen_for_a_while_without_a_break() -> None:
    stand = Stand()
    low = stand.source.commit(WITHIN)
    high = stand.source.commit(ACROSS)

    def look(revision: int, after: float) -> int:
        """The revision that is believed when the source shows this one."""
        stand.clock.now += after
        stand.source.revision = revision
        return stand.store.state(BTC_MINUTES).revision

    assert look(high, 0) == high
    # A standby that lags, now and then.
    for _ in range(20):
        assert look(low, BELIEVED_AFTER - 1) == high
        assert look(high, 1) == high
    # A restored backup.
    assert look(low, 1) == high
    assert look(low, BELIEVED_AFTER - 0.001) == high
    assert look(low, CHECK_EVERY) == low
    assert look(low, CHECK_EVERY) == low
    assert rows_in(stand.read().body) == ACROSS


def test_what_is_read_at_a_lower_revision_is_shown_as_that() -> None:
    stand = Stand()
    low = stand.source.commit(WITHIN)
    high = stand.source.commit(ACROSS)
    assert stand.store.state(BTC_MINUTES).revision == high
    stand.source.revision = low
    # Nothing of the higher revision is in memory, so the source answers, consistently.
    assert stand.read().state.revision == low
    assert stand.store.state(BTC_MINUTES).revision == high


def test_a_lower_revision_that_has_more_blocks_is_read_whole() -> None:
    stand = Stand()
    low = stand.source.commit(ACROSS)
    high = stand.source.commit(WITHIN)
    assert stand.store.state(BTC_MINUTES).revision == high
    stand.source.rows, stand.source.revision = ACROSS, low
    part = stand.read()
    assert (part.state.revision, rows_in(part.body)) == (low, ACROSS)
