"""What an operator is told to type fits where the program runs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from app.core.how_to_run import FRONT, how_to_run, without_chart
from app.core.settings import load_settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("command", "arguments", "make", "mms", "image"),
    [
        ("load", "", "make initial_load", "mms load", "docker run IMAGE initial-load"),
        (
            "update",
            "--reread 30",
            'make incremental ARGS="--reread 30"',
            "mms update --reread 30",
            "docker run IMAGE incremental --reread 30",
        ),
        (
            "backup",
            "FILE",
            "make backup FILE=FILE",
            "mms backup FILE",
            "docker run IMAGE backup FILE",
        ),
        ("keys", "", "make keys", "mms keys", "docker run IMAGE keys"),
    ],
)
def test_a_command_is_named_as_it_is_typed_here(
    command: str, arguments: str, make: str, mms: str, image: str
) -> None:
    assert how_to_run(command, arguments, {FRONT: "make"}) == make
    assert how_to_run(command, arguments, {FRONT: "mms"}) == mms
    assert how_to_run(command, arguments, {}) == mms.replace("mms", "python -m app")
    assert how_to_run(command, arguments, {FRONT: "image"}) == image


def test_how_to_get_the_chart_is_said_where_one_can_get_it() -> None:
    assert without_chart({FRONT: "make"}).endswith("start again then:\n  $ make chart\n")
    for other in ({}, {FRONT: "mms"}, {FRONT: "image"}):
        assert "pictures" in without_chart(other)
        assert "make" not in without_chart(other)


def test_the_front_is_no_misspelt_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FRONT, "make")
    assert load_settings(env_file=None).port == 8000


def test_make_and_the_image_say_which_they_are() -> None:
    assert f"\nexport {FRONT} := make\n" in (ROOT / "Makefile").read_text()
    assert f" {FRONT}=image " in (ROOT / "Dockerfile").read_text()


TARGETS = set(re.findall(r"(?m)^([a-z][\w-]*):.*## ", (ROOT / "Makefile").read_text()))


def test_no_message_names_a_target_of_make() -> None:
    """Only how_to_run does: where there is no Makefile, such a message is of no use."""
    named = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = re.findall(r"\bmake ([a-z][\w-]*)", node.value)
                named += [f"{path.name}: make {word}" for word in words if word in TARGETS]
    # The second is the docstring of a module.
    assert named == ["how_to_run.py: make chart", "scheduled.py: make run_local"]
