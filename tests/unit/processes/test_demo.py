"""What the demo shows once it is complete."""

from __future__ import annotations

import pytest

from app.processes.demo import show
from tests.support.api import settings


@pytest.mark.parametrize("docs", ["on", "off"])
def test_the_documentation_is_named_where_there_is_one(
    capsys: pytest.CaptureFixture[str], docs: str
) -> None:
    show("http://127.0.0.1:1", settings(docs=docs))
    named = [line.strip() for line in capsys.readouterr().out.splitlines() if line[:6] == "  http"]
    assert "http://127.0.0.1:1/pairs" in named
    assert ("http://127.0.0.1:1/docs" in named) == (docs == "on")
