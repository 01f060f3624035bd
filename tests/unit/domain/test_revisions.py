"""Revisions: each change has its own number, which grows and tells when it was made."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.revisions import SALT_BITS, changed_at, next_revision

salts = st.integers(0, 2**SALT_BITS - 1)
moments = st.floats(0, 4_102_444_800, allow_nan=False)
revisions = st.builds(lambda now, salt: next_revision(0, now, salt), moments, salts)

NOW = 1_711_670_400.0


@given(revisions, moments, salts)
@example(next_revision(0, NOW, 7), NOW, 7)
@example(next_revision(0, NOW, 7), NOW, 6)
@example(next_revision(0, NOW, 7), NOW - 86_400, 0)
def test_a_revision_is_greater_than_the_one_before_whatever_the_clock_says(
    previous: int, now: float, salt: int
) -> None:
    assert next_revision(previous, now, salt) > previous


@given(moments, salts)
@example(NOW + 0.999, 2**SALT_BITS - 1)
def test_a_revision_tells_the_second_of_its_change(now: float, salt: int) -> None:
    assert changed_at(next_revision(0, now, salt)) == (int(now) if now >= 0.001 else changed_at(1))


@given(salts, salts)
def test_two_databases_that_change_at_one_moment_differ_by_chance(one: int, other: int) -> None:
    assert (next_revision(0, NOW, one) == next_revision(0, NOW, other)) == (one == other)
