"""Requests that are generated from /openapi.json, to the demo: `make fuzz` sends many more."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.fuzz import demo, run


def test_the_api_takes_what_its_description_allows_and_refuses_all_else(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent = []
    with demo(tmp_path) as url:
        outcome = run(url, 1_500, seed=1, advance=lambda _name, count: sent.append(count))
    assert outcome.failures == []
    assert outcome.cases.total() == sum(sent) >= 1_500
    assert outcome.cases.keys() == {"examples", "coverage", "fuzzing"}
    # A reversed period and the like: what the schema allows was refused, and that was noticed.
    assert outcome.accepted > 0
