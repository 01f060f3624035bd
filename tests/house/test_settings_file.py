"""`.env.example` and the settings in code say the same."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from app.core.settings import Settings, load_settings
from tests.support.settings import declared

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / ".env.example"
SETTING = re.compile(r"#(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)")


def documented() -> list[tuple[str, str]]:
    found = (SETTING.fullmatch(line) for line in EXAMPLE.read_text().splitlines())
    return [(match["name"], match["value"]) for match in found if match]


def test_the_example_lists_every_setting_once_with_its_default_in_the_order_of_the_code() -> None:
    assert documented() == list(declared().items())


def test_every_setting_in_the_example_has_a_sentence_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for above, line in pairwise(lines):
        if SETTING.fullmatch(line):
            assert above.startswith("# "), f"{line} stands without a comment"
        else:
            assert line == "" or line.startswith("# "), f"{line!r} is neither setting nor comment"


def test_the_example_with_every_line_switched_on_means_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    switched_on = tmp_path / ".env"
    switched_on.write_text(re.sub(r"(?m)^#(?=[A-Z0-9_]+=)", "", EXAMPLE.read_text()))
    assert load_settings(switched_on) == load_settings(None)
