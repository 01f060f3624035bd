"""What the demo shows once it is complete."""

from __future__ import annotations

import pytest

from app.core.how_to_run import FRONT
from app.core.market import DAY, Interval, Pair, Series
from app.processes.demo import Sights, show
from app.sandbox.incidents import MissingDays
from tests.support.api import settings

DAILY = Series(Pair("BTC", "BRL"), Interval.DAY)
DAYS = MissingDays(20_522 * DAY, 20_524 * DAY, 20_526 * DAY)
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize("docs", ["on", "off"])
def test_the_documentation_is_named_where_there_is_one(
    capsys: pytest.CaptureFixture[str], docs: str
) -> None:
    show(NOWHERE, settings(docs=docs), Sights(DAILY, None, NOWHERE))
    lines = capsys.readouterr().out.splitlines()
    named = [line.split()[0] for line in lines if line[:6] == "  http"]
    assert f"{NOWHERE}/pairs" in named
    assert (f"{NOWHERE}/docs" in named) == (docs == "on")


def test_the_repair_is_typed_as_the_demo_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FRONT, "make")
    show(NOWHERE, settings(), Sights(DAILY, DAYS, f"{NOWHERE}/api/v4"))
    shown = capsys.readouterr().out
    assert "2026-03-10 stays missing, 2026-03-14 was refused, 2026-03-12 can be" in shown
    assert (
        f"  $ DB_URL=sqlite:///./data/demo.db MB_API_BASE_URL={NOWHERE}/api/v4 "
        "make monitor ARGS=--repair\n"
    ) in shown
