"""The topology check itself, in short; and what a ring of memcached nodes keeps when one dies."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks.topology import __main__ as command
from benchmarks.topology import ring
from tests.conftest import absent
from tests.support.logs import log_as_before
from tests.support.postgres import Postgres


@pytest.fixture
def everything(postgres_server: Postgres, memcached_program: Path) -> None:
    """All programs that the check needs."""
    for name in ("nginx", "wrk"):
        if shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin") is None:
            absent(name, f"apt-get install {name}")


@pytest.mark.usefixtures("everything")
def test_killing_an_api_process_under_load_costs_no_read_and_shows_no_wrong_body(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with log_as_before():
        code = command.main(["api", "--seconds", "4", "--json"])
    out = capsys.readouterr().out
    assert code == 0, out
    said = json.loads(out.splitlines()[-1])
    (step,) = said["steps"]
    assert said["kept"] is True
    assert (step["failed"], step["wrong"], step["load"]["failed"]) == (0, 0, 0)
    assert step["loads"] == 3
    # nginx has met the dead process and asked the other one.
    assert step["retried"] > 0
    assert step["ring_hits"] > 0


def test_a_ring_keeps_the_share_of_the_nodes_that_live(memcached_program: Path) -> None:
    shares = ring.measure(memcached_program, entries=400)
    sys.stdout.write(f"{ring.table(shares)}\n")
    assert [share.nodes for share in shares] == [2, 3, 4]
    for share in shares:
        # Every entry of a living node stays where it is, so the mean over the nodes is exact.
        assert share.strangers == 0
        assert ring.mean(share.first) == share.promised
        assert min(share.all_looks) >= share.promised
        assert share.kept
