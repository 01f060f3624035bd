"""The mutation score: what it counts is what the tests notice."""

from __future__ import annotations

from benchmarks.mutation import __main__ as command
from benchmarks.mutation.modules import TESTS

REVISIONS = "app/domain/revisions.py"


def test_what_the_tests_do_not_notice_survives_and_is_shown() -> None:
    only_one = (
        f"{TESTS[REVISIONS][0]}::test_two_databases_that_change_at_one_moment_differ_by_chance"
    )
    (score,) = command.measured({REVISIONS: (only_one,)}, 1)
    # That test makes revisions and reads none.
    unread = [name for name in score.survivors if "changed_at" in name]
    assert 0 < len(unread) < len(score.survivors) < score.mutants
    assert len(score.differences) == len(score.survivors) == score.mutants - score.killed
    for difference in score.differences:
        removed, added = (line.strip() for line in difference.splitlines())
        assert (removed[0], added[0]) == ("-", "+")
        assert removed[1:] != added[1:]
