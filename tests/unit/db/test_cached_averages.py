"""The cache in front of the averages: the same answers, far fewer questions, never late."""

from __future__ import annotations

import pytest

from app.core.errors import StoreUnavailable
from app.core.market import EMPTY_SERIES
from app.db.cache.averages import CHECK_EVERY
from tests.support.cached import (
    ACROSS,
    BTC_MINUTES,
    EVER,
    SIZE,
    START,
    STEP,
    WITHIN,
    Spoilable,
    Stand,
)
from tests.support.means import between, rows_in


def test_a_first_read_asks_for_the_state_and_the_rows_and_the_next_ones_for_nothing() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    found = stand.read(START, START + SIZE - STEP)
    assert (found.count, rows_in(found.body)) == (50, WITHIN)
    assert stand.questions() == ["state", "means"]
    for first in range(START + 90 * STEP, START + 160 * STEP, 7 * STEP):
        part = stand.read(first, first + 20 * STEP)
        assert rows_in(part.body) == between(WITHIN, first, first + 20 * STEP)
        assert part.state == found.state
    assert stand.questions() == []


def test_the_revision_is_asked_for_once_per_interval_and_nothing_else_while_it_stays() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    stand.questions()
    for _ in range(5):
        stand.clock.now += CHECK_EVERY
        assert stand.read().count == 50
        assert stand.read().count == 50
        assert stand.questions() == ["state"]
    stand.clock.now += CHECK_EVERY - 0.001
    stand.read()
    assert stand.questions() == []


def test_a_commit_is_seen_once_the_revision_is_asked_for_again() -> None:
    stand = Stand()
    first = stand.source.commit(WITHIN)
    stand.read()
    second = stand.source.commit(ACROSS)
    stand.clock.now += CHECK_EVERY - 0.001
    late = stand.read()
    assert (late.state.revision, rows_in(late.body)) == (first, WITHIN)
    stand.clock.now += 0.001
    found = stand.read()
    assert (found.state.revision, rows_in(found.body)) == (second, ACROSS)


def test_refresh_makes_a_commit_seen_at_once() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    second = stand.source.commit(ACROSS)
    assert stand.store.refresh(BTC_MINUTES).revision == second
    assert rows_in(stand.read().body) == ACROSS


def test_a_period_outside_of_what_is_stored_reads_no_rows() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read(START, START + SIZE - STEP)
    stand.questions()
    for first, last in [
        (0, START - STEP),
        (START + SIZE, EVER),
        (-EVER, -STEP),
        (START + SIZE, START),
    ]:
        found = stand.read(first, last)
        assert (found.count, found.body, found.state.revision) == (0, b"[]\n", 1)
    assert stand.questions() == []


def test_a_series_that_was_never_loaded_is_empty_and_asked_for_once_per_interval() -> None:
    stand = Stand()
    for _ in range(10):
        found = stand.read()
        assert (found.state, found.count, found.body) == (EMPTY_SERIES, 0, b"[]\n")
    assert stand.questions() == ["state"]
    stand.source.commit(WITHIN)
    stand.clock.now += CHECK_EVERY
    assert rows_in(stand.read().body) == WITHIN


def test_centuries_of_a_series_with_two_blocks_are_one_read_of_two_blocks() -> None:
    stand = Stand(cache=(cache := Spoilable()))
    stand.source.commit(ACROSS)
    assert rows_in(stand.read(-EVER, EVER).body) == ACROSS
    assert stand.questions() == ["state", "means"]
    assert len(cache.sets) == 2


def test_a_spoilt_entry_is_read_anew() -> None:
    stand = Stand(cache=(cache := Spoilable()))
    stand.source.commit(ACROSS)
    stand.read()
    whole = dict(cache.entries)
    one, other = whole
    for spoilt in (b"", b"garbage", whole[one][:-1], whole[other], whole[one] + b"\0"):
        stand.questions()
        cache.entries = {**whole, one: spoilt}
        assert rows_in(stand.read().body) == ACROSS
        assert stand.questions() == ["means"]
        assert cache.entries == whole


def test_a_block_that_came_into_the_cache_meanwhile_is_not_read_from_the_source() -> None:
    class Late(Spoilable):
        """A cache into which somebody else stores what a reader has just missed."""

        def get(self, key: str) -> memoryview | None:
            found = super().get(key)
            self.entries = whole
            return found

    first, second = Stand(cache=(full := Spoilable())), Stand(cache=Late())
    for stand in (first, second):
        stand.source.commit(ACROSS)
    first.read()
    whole = dict(full.entries)
    assert rows_in(second.read().body) == ACROSS
    assert second.questions() == ["state"]


def test_trouble_with_the_source_is_told_and_over_once_it_is_over() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.source.error = StoreUnavailable("gone")
    with pytest.raises(StoreUnavailable, match="gone"):
        stand.read()
    with pytest.raises(StoreUnavailable, match="gone"):
        stand.store.state(BTC_MINUTES)
    stand.source.error = None
    assert stand.read().count == 50


def test_what_is_cached_is_served_while_its_revision_is_believed_even_without_the_source() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    stand.source.error = StoreUnavailable("gone")
    assert stand.read().count == 50
