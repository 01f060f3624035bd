"""A pytest plug-in for runs over mutants: quick tests first, the same random cases each time.

A mutant is dead at its first failure. So quick tests come first, and Hypothesis does not look for
the smallest failing case. Its cases depend on the test alone: the score is the same each time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import Phase, settings

DURATIONS: Final = Path("mutmut-stats.json")
"""What mutmut measured before it began, in the folder that it runs the tests in."""


def pytest_configure() -> None:
    """Set Hypothesis up, after conftest.py did."""
    settings.register_profile(
        "mutation",
        settings.default,
        phases=[Phase.explicit, Phase.generate],
        derandomize=True,
        database=None,
    )
    settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by how long they take."""
    if DURATIONS.exists():
        seconds: dict[str, float] = json.loads(DURATIONS.read_text())["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
