"""The fuzzer finds what is planted, makes it short, and repeats it; what it looks at holds."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator

import pytest

from benchmarks.fuzz import __main__ as command
from benchmarks.fuzz import engine, requests, targets
from tests.support.logs import log_as_before


@pytest.fixture
def commanded() -> Iterator[None]:
    """The command silences the log of the process."""
    with log_as_before():
        yield


def looks_for(data: bytes) -> None:
    """A parser that fails behind two conditions, which chance alone would hardly meet."""
    if data[:1] == b"[" and b"null" in data and data.count(b"{") > 2:
        raise KeyError("planted")


def test_a_planted_fault_is_found_and_made_short() -> None:
    chance = random.Random(7)
    seeds = [b'[{"a": 1}, {"b": 2}]']
    done = engine.search(looks_for, seeds, [b"null", b"{"], 60.0, chance, command._APP)
    assert done.finding is not None
    assert done.finding.problem == "KeyError: 'planted'"
    assert sorted(done.finding.data) == sorted(b"[null{{{")


def test_an_input_that_takes_too_long_is_a_finding() -> None:
    times = iter([0.0, 9.0])
    assert engine.problem_of(lambda _data: None, b"", lambda: next(times)) == "it took 9.0 s"


def test_inputs_that_reach_new_lines_are_kept() -> None:
    chance = random.Random(1)
    seeds = targets.all_targets()["candles"]
    done = engine.search(seeds.run, seeds.seeds, targets.WORDS, 1.0, chance, command._APP)
    assert done.finding is None
    assert done.kept > len(seeds.seeds)
    assert done.lines > 100


@pytest.mark.parametrize("name", sorted(targets.all_targets()))
def test_every_parser_holds_what_it_promises_on_its_seeds_and_changes_of_them(name: str) -> None:
    target = targets.all_targets()[name]
    chance = random.Random(name)
    corpus = list(target.seeds)
    tried = [*corpus, *(engine.mutated(chance, corpus, targets.WORDS) for _ in range(60))]
    assert [p for data in tried if (p := engine.problem_of(target.run, data, lambda: 0.0))] == []


def test_requests_find_nothing_in_a_second() -> None:
    tried, problem = requests.search(1.0, random.Random(3))
    assert problem == ""
    assert tried > 0


@pytest.mark.usefixtures("commanded")
def test_a_finding_is_repeated_from_what_was_printed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = base64.b64encode(b'{"t": [1]}').decode()
    assert command.main(["--only", "candles", "--input", shown]) == 0
    assert "nothing found" in capsys.readouterr().out


@pytest.mark.usefixtures("commanded")
def test_the_command_names_its_seed_and_what_it_tried(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seconds", "0.2", "--only", "strict-json", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    assert "seed 5" in said
    assert "nothing found" in said
