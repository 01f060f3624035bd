"""The topology check itself, in short: of its steps the one that kills API processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.topology.__main__ import drilled
from benchmarks.topology.drill import STEPS
from benchmarks.topology.stack import programs
from tests.conftest import absent
from tests.support.postgres import Postgres


@pytest.fixture
def everything(postgres_server: Postgres, memcached_program: Path) -> None:
    """All programs that the check needs."""
    for name in ("nginx", "wrk"):
        if shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin") is None:
            absent(name, f"apt-get install {name}")


@pytest.mark.usefixtures("everything")
def test_killing_an_api_process_under_load_costs_no_read_and_shows_no_wrong_body() -> None:
    (found,) = drilled(programs(), [step for step in STEPS if step.key == "api"], 4)
    assert (found.troubles, found.failed, found.wrong) == ([], 0, 0)
    # nginx has met the dead process and asked the other one.
    assert found.retried > 0
