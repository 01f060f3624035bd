"""Equal log lines are limited, and counted."""

from __future__ import annotations

from app.core.seldom import MOST_KEYS, PAUSE, Seldom


class Clock:
    """A clock that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_line_is_due_at_once_and_the_next_a_minute_later_with_the_count() -> None:
    clock = Clock()
    seldom = Seldom(clock)
    assert [seldom.due("a"), seldom.due("a"), seldom.due("b"), seldom.due("a")] == [
        1,
        None,
        1,
        None,
    ]
    clock.now += PAUSE - 1
    assert seldom.due("a") is None
    clock.now += 1
    assert (seldom.due("a"), seldom.due("b"), seldom.due("a")) == (4, 1, None)


def test_keys_without_end_make_neither_lines_nor_memory_without_end() -> None:
    clock = Clock()
    seldom = Seldom(clock)
    due = [seldom.due(number) for number in range(10 * MOST_KEYS)]
    assert due == [1] * (MOST_KEYS + 1) + [None] * (9 * MOST_KEYS - 1)
    clock.now += PAUSE
    assert [seldom.due(number) for number in range(MOST_KEYS, 2 * MOST_KEYS)] == [1] * MOST_KEYS
