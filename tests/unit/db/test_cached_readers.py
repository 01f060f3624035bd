"""The cache in front of the averages with many readers at once, and commits between their reads."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.core.market import AverageSlice
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
from tests.support.means import Rows, between, rows_in
from tests.support.patience import until, waiting_in


def test_five_hundred_cold_reads_at_once_are_one_read_of_rows() -> None:
    readers = 500
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.source.held = True
    start = threading.Barrier(readers)

    def read(number: int) -> tuple[tuple[int, int], AverageSlice]:
        period = (START - number * STEP, START + SIZE + (number % 2) * SIZE)
        start.wait(timeout=20)
        return period, stand.read(*period)

    with ThreadPoolExecutor(readers) as pool:
        reading = [pool.submit(read, number) for number in range(readers)]
        until(lambda: waiting_in(Future.result) + stand.source.waiting == readers)
        stand.source.let_go()
        for future in reading:
            (first, last), found = future.result(timeout=20)
            assert rows_in(found.body) == between(WITHIN, first, last)
    assert stand.questions().count("means") == 1


def test_many_reads_at_once_ask_for_the_revision_once() -> None:
    readers = 100
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.read()
    stand.questions()
    stand.clock.now += CHECK_EVERY
    stand.source.held = True
    with ThreadPoolExecutor(readers) as pool:
        reading = [pool.submit(stand.read) for _ in range(readers)]
        until(lambda: waiting_in(Future.result) + stand.source.waiting == readers)
        stand.source.let_go()
        assert {future.result(timeout=20).count for future in reading} == {50}
    assert stand.questions() == ["state"]


def test_a_slow_answer_is_not_given_to_who_came_after_a_commit() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.store.state(BTC_MINUTES)
    stand.source.held = True
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(stand.read)
        until(lambda: stand.source.waiting == 1)
        second = stand.source.commit(ACROSS)
        stand.clock.now += CHECK_EVERY + 0.5
        late = pool.submit(stand.read)
        until(lambda: waiting_in(Future.result) == 1 or stand.source.waiting == 2)
        stand.source.let_go()
        assert rows_in(early.result(timeout=20).body) in (WITHIN, ACROSS)
        found = late.result(timeout=20)
    assert (found.state.revision, rows_in(found.body)) == (second, ACROSS)


def test_who_has_been_told_of_a_commit_is_not_shown_what_was_before_it() -> None:
    stand = Stand()
    stand.source.commit(WITHIN)
    stand.store.state(BTC_MINUTES)
    period = (START, START + SIZE - STEP)
    stand.source.held = True
    with ThreadPoolExecutor(2) as pool:
        early = pool.submit(stand.read, *period)
        until(lambda: stand.source.waiting == 1)
        second = stand.source.commit(ACROSS)
        stand.clock.now += 0.01
        stand.source.held = False
        assert stand.store.refresh(BTC_MINUTES).revision == second
        late = pool.submit(stand.read, *period)
        until(lambda: waiting_in(Future.result) == 1 or late.done())
        stand.source.let_go()
        early.result(timeout=20)
        found = late.result(timeout=20)
    assert (found.state.revision, rows_in(found.body)) == (second, between(ACROSS, *period))
    # The late answer to the early question has not replaced what is known since.
    assert stand.store.state(BTC_MINUTES).revision == second
    assert stand.read(*period).state.revision == second


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_a_read_is_one_committed_state_and_no_older_than_it_may_be(
    seed: int,
) -> None:
    chance = random.Random(seed)
    cache = Spoilable()
    stand = Stand(cache=cache)
    committed: list[tuple[float, Rows]] = [(stand.clock.now, {})]

    def commit() -> None:
        rows = dict(committed[-1][1])
        newest = max(rows, default=START - 40 * STEP)
        for number in range(chance.randrange(1, 30)):
            rows[newest + (number + 1) * STEP * chance.randrange(1, 4)] = chance.randrange(10**12)
        for bucket in chance.sample(sorted(rows), min(3, len(rows))):
            rows[bucket] = chance.randrange(10**12)
        stand.source.commit(rows)
        committed.append((stand.clock.now, stand.source.rows))

    def spoil() -> None:
        for key in chance.sample(sorted(cache.entries), len(cache.entries) // 2):
            if chance.random() < 0.5:
                del cache.entries[key]
            else:
                cache.entries[key] = chance.choice(
                    [
                        b"garbage",
                        cache.entries[key][: chance.randrange(40)],
                        b"",
                        *cache.entries.values(),
                    ]
                )

    def read() -> None:
        first = START + chance.randrange(-60, 400) * STEP
        last = chance.choice([first + chance.randrange(-20, 200) * STEP, EVER])
        found = stand.read(first, last, chance.choice([20, 50]))
        revision = found.state.revision
        assert rows_in(found.body) == between(committed[revision][1], first, last)
        assert found.count == len(rows_in(found.body))
        if revision + 1 < len(committed):
            assert stand.clock.now - committed[revision + 1][0] < CHECK_EVERY

    for _ in range(300):
        step = chance.random()
        if step < 0.1:
            commit()
        elif step < 0.2:
            spoil()
        elif step < 0.4:
            stand.clock.now += chance.choice([0.01, 0.2, CHECK_EVERY])
        else:
            read()
