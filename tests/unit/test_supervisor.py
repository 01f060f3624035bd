"""When a worker that died is replaced."""

from __future__ import annotations

from app.supervisor import LAST_PAUSE, pause_after


def test_the_pause_grows_while_workers_die_soon_and_is_bounded() -> None:
    pauses = [pause_after(deaths) for deaths in range(1, 10)]
    assert pauses == [0, 1, 2, 4, 8, 16, 32, LAST_PAUSE, LAST_PAUSE]
    assert pause_after(10**6) == LAST_PAUSE
