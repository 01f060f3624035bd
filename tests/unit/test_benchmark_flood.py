"""The flood benchmark measures what it says, and what it measures keeps the promise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.flood import __main__ as command


@pytest.mark.parametrize(
    ("case", "got", "least"),
    [
        ("until close", "UpstreamNonsense", 0.0),
        ("gzip body", "UpstreamNonsense", 0.0),
        # It is near the limits on purpose: a measurement that sees nothing would pass everywhere.
        ("dense JSON", "an answer", 10.0),
    ],
)
def test_a_flood_takes_little_memory_and_time(
    capsys: pytest.CaptureFixture[str], case: str, got: str, least: float
) -> None:
    arguments = ["--quick", "--megabytes", "200", "--only", case, "--json"]
    assert command.main(arguments) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    (row,) = found["cases"]
    assert row["got"] == got
    assert found["kept"] is True
    assert least <= row["megabytes"] <= command.MOST_MEGABYTES
    assert row["seconds"] <= command.MOST_SECONDS
