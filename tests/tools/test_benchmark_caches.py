"""What a failing memcached may add to a read: what is judged, and by which of its times."""

from __future__ import annotations

import pytest

from benchmarks.reliability.caches import (
    ALONE,
    FIRST,
    PRODUCTION,
    THEN,
    WITHOUT,
    Times,
    judged,
)


def times(*, first: float = 0.15, then: float = 0.0001, whole: float = 0.010) -> Times:
    """Two hundred of each, of which the longest two per cent are as given."""

    def of(longest: float, usual: float) -> dict[str, list[float]]:
        return {name: [usual] * 196 + [longest] * 4 for name in (ALONE, PRODUCTION)}

    found = Times(of(first, 0.15), of(then, 0.0001))
    found.whole = {ALONE: [whole] * 200, PRODUCTION: [0.010] * 200, WITHOUT: [0.010] * 200}
    return found


@pytest.mark.parametrize(
    ("found", "held"),
    [
        (times(first=FIRST + 0.001), (False, True)),
        (times(then=THEN), (True, True)),
        (times(then=THEN + 0.001), (True, False)),
        (times(whole=0.010 + THEN + 0.001), (True, False)),
    ],
)
def test_each_limit_is_judged_for_itself(found: Times, held: tuple[bool, bool]) -> None:
    assert tuple(figure.held for figure in judged(found, "sqlite", 50)) == held


def test_a_read_that_is_wrong_breaks_every_promise() -> None:
    found = times()
    found.wrong.append("one average is another's")
    assert [figure.held for figure in judged(found, "sqlite", 50)] == [False, False]
