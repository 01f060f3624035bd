"""SIGTERM that another thread than the main one takes: every command ends all the same."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest

from tests.support.processes import ended, process

TERMINATED = 143


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Somebody who accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def read_until(child: Popen[str], sign: str, stream: str = "stderr") -> None:
    """Read the child's lines up to the one that has the sign."""
    lines = getattr(child, stream)
    assert any(sign in line for line in lines), f"{sign} was never said"


def stopped(child: Popen[str]) -> tuple[int, str]:
    """Let another thread take SIGTERM; the exit code and what was said after it."""
    assert child.stdin is not None
    child.stdin.write(".")
    child.stdin.flush()
    return ended(child)


def test_a_loader_ends_while_its_exchange_is_silent(tmp_path: Path, silent: socket.socket) -> None:
    url = f"http://127.0.0.1:{silent.getsockname()[1]}/api/v4"
    command = ["-m", "tests.support.aside", "app.workers.initial_loader"]
    with process(tmp_path, *command, MB_API_BASE_URL=url, UPSTREAM_RETRY_SECONDS="600") as child:
        connection, _ = silent.accept()
        with connection:
            code, said = stopped(child)
    first, sentence = said.splitlines()
    assert "database_in_use" in first
    assert (code, sentence) == (TERMINATED, "initial_loader: terminated; what was committed stays")


def test_the_collector_ends_between_two_slots(tmp_path: Path, silent: socket.socket) -> None:
    port = silent.getsockname()[1]
    silent.close()
    settings = {
        "COINGECKO_API_BASE_URL": f"http://127.0.0.1:{port}/api/v3",
        "PRICE_POLL_SECONDS": "3600",
        "PRICE_STALE_SECONDS": "7200",
    }
    command = ["-m", "tests.support.aside", "app.workers.price_collector"]
    with process(tmp_path, *command, **settings) as child:
        read_until(child, "price_collection_failed")
        code, _ = stopped(child)
    assert code == 0


def test_a_schedule_ends_between_two_runs(tmp_path: Path) -> None:
    command = ["-m", "tests.support.aside", "app.processes.scheduled", "monitor"]
    with process(tmp_path, *command) as child:
        read_until(child, "scheduled_run_finished")
        code, said = stopped(child)
    assert code == 0
    assert "schedule_stopped" in said
