"""The mutation score: what it counts is what the tests notice."""

from __future__ import annotations

import json

import pytest

from benchmarks.mutation import __main__ as command
from benchmarks.mutation.modules import TESTS

REVISIONS = "app/utils/revisions.py"


def test_a_module_whose_tests_notice_every_mistake_has_all_of_its_mutants_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["utils/revisions", "--jobs", "1", "--json"]) == 0
    shown = capsys.readouterr().out.splitlines()
    mutants, killed = json.loads(shown[-1])[REVISIONS]
    assert mutants == killed > 10
    assert shown[-2].split()[:5] == ["all", str(mutants), str(killed), "0", "100.0%"]


def test_what_the_tests_do_not_notice_survives_and_is_shown() -> None:
    only_one = f"{TESTS[REVISIONS][0]}::test_a_clock_that_went_back_makes_the_very_next_number"
    (score,) = command.measured({REVISIONS: (only_one,)}, 1)
    # That test makes revisions and reads none.
    unread = [name for name in score.survivors if "changed_at" in name]
    assert 0 < len(unread) < len(score.survivors) < score.mutants
    assert len(score.differences) == len(score.survivors) == score.mutants - score.killed
    for difference in score.differences:
        removed, added = difference.splitlines()
        assert removed[:5] == "    -"
        assert added[:5] == "    +"
        assert removed[5:] != added[5:]


def test_tests_that_touch_nothing_of_the_module_measure_nothing() -> None:
    with pytest.raises(command.NotMeasured, match=f"mutmut run failed on {REVISIONS}"):
        list(command.measured({REVISIONS: ("tests/unit/utils/test_price_scale.py",)}, 1))


def test_a_module_that_nobody_knows_is_an_error_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["utils/nothing"])
    assert ended.value.code == 2
    assert "no module contains utils/nothing" in capsys.readouterr().err


def test_the_modules_are_listed_with_their_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list", "price_scale"]) == 0
    assert capsys.readouterr().out.split() == [
        "app/utils/price_scale.py",
        "tests/unit/utils/test_price_scale.py",
    ]
