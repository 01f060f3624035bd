"""WORKERS above 1: several processes answer at one address, and they end as one."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.commands import run
from tests.support.patience import until
from tests.support.processes import DEADLINE, ask_over, environment, refuses

READ = "/BRLBTC/mms?range=20"
HELD_READS = ("-m", "tests.support.held_reads")


@dataclass(frozen=True)
class Group:
    """A server and its workers, in a process group of their own. `folder` steers and shows them."""

    folder: Path
    parent: subprocess.Popen[bytes]

    def log(self, *events: str) -> list[dict[str, Any]]:
        """The lines of these events."""
        lines = [json.loads(line) for line in (self.folder / "log").read_text().splitlines()]
        return [line for line in lines if line["event"] in events]

    @property
    def url(self) -> str:
        """Where it serves, once it is ready."""
        until(lambda: bool(self.log("server_ready")) or self.parent.poll() is not None)
        [ready] = self.log("server_ready")
        return str(ready["url"])

    @property
    def processes(self) -> dict[int, str]:
        """The process ids of the group, each with its command line."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if os.getpgid(int(path.name)) == self.parent.pid:
                    found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue  # it has just ended
        return {pid: line for pid, line in found.items() if line}  # without ended ones

    @property
    def workers(self) -> set[int]:
        """The process ids of the workers."""
        return {pid for pid, line in self.processes.items() if "api_worker" in line}

    def connect(self) -> socket.socket:
        """A fresh connection, over which one request was answered."""
        parts = urlsplit(self.url)
        address = (parts.hostname or "", parts.port or 0)
        connection = socket.create_connection(address, timeout=DEADLINE)
        ask_over(connection)
        return connection

    def who_answers(self, times: int) -> list[int]:
        """The process that each of so many fresh connections has reached."""
        with ExitStack() as opened:
            connections = [opened.enter_context(self.connect()) for _ in range(times)]
            inodes = [_inode_of_the_other_end(each) for each in connections]
            owners = {inode: pid for pid in self.workers for inode in _sockets_of(pid)}
        return [owners[inode] for inode in inodes]

    def tell(self, number: signal.Signals) -> None:
        """Send it to every process of the group, as a terminal and systemd do."""
        os.killpg(self.parent.pid, number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the group; the exit code, once none of its processes is left."""
        self.tell(number)
        return self.gone()

    def gone(self) -> int:
        """The exit code, once none of its processes is left."""
        code = self.parent.wait(DEADLINE)
        until(lambda: not self.processes)
        return code


def _inode_of_the_other_end(connection: socket.socket) -> str:
    ends = (connection.getsockname(), connection.getpeername())
    ours, theirs = (f"0100007F:{port:04X}" for _, port in ends)
    for line in Path("/proc/net/tcp").read_text().splitlines():
        fields = line.split()
        if fields[1:3] == [theirs, ours]:
            return fields[9]
    raise AssertionError("no such connection")


def _sockets_of(pid: int) -> Iterator[str]:
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:
            continue  # a process that starts opens and closes files all the time
        socket_inode = re.fullmatch(r"socket:\[(\d+)\]", target)
        if socket_inode:
            yield socket_inode[1]


@contextmanager
def group(folder: Path, *arguments: str, **settings: str) -> Iterator[Group]:
    """A Python program in a process group of its own; killed where the test leaves it running."""
    with (
        (folder / "log").open("wb") as said,
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment(folder, **settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        ) as parent,
    ):
        started = Group(folder, parent)
        try:
            yield started
        finally:
            for pid in started.processes:
                os.kill(pid, signal.SIGKILL)


def test_both_answer_and_one_that_dies_is_replaced(tmp_path: Path) -> None:
    with group(tmp_path, *HELD_READS, "60", "60") as server:
        url = server.url
        until(lambda: len(set(server.who_answers(8))) == 2)
        first, other = server.workers
        os.kill(first, signal.SIGKILL)
        until(lambda: len(server.workers - {first, other}) == 1)
        until(lambda: set(server.who_answers(8)) == server.workers)
        [died] = server.log("worker_died")
        assert (died["level"], died["exit_code"], died["replaced_in_s"]) == ("warning", -9, 0.0)

        # One that cannot be replaced is no loss for new connections.
        (tmp_path / "broken").touch()
        [second] = server.workers - {other}
        os.kill(second, signal.SIGKILL)
        until(lambda: len(server.log("worker_died")) >= 3)
        died = server.log("worker_died")[2]
        assert died["level"] == "error"
        assert died["reason"] == "could not start: The file `broken` is there."
        assert died["replaced_in_s"] > 0
        assert set(server.who_answers(20)) == {other}
        (tmp_path / "broken").unlink()
        until(lambda: len(set(server.who_answers(8))) == 2)

        # Readiness goes first. A signal to each of them is one signal; a second ends the wait.
        server.tell(signal.SIGTERM)
        until(lambda: bool(server.log("server_stopping")))
        until(lambda: {httpx.get(f"{url}/readyz").status_code for _ in range(8)} == {503})
        assert {httpx.get(f"{url}/readyz").status_code for _ in range(30)} == {503}
        server.parent.terminate()
        assert server.gone() == 0
        said = server.log("server_ready", "server_stopping", "server_stopped")
        assert [line["event"] for line in said] == [
            "server_ready",
            "server_stopping",
            "server_stopped",
        ]


def ask_until_both_hold_a_request(server: Group, pool: ThreadPoolExecutor) -> list[Any]:
    """Send reads until both workers have one that waits; returns the futures of the replies."""
    (server.folder / "held").touch()
    replies: list[Any] = []
    while len({path.name.split("-")[1] for path in server.folder.glob("asked-*")}) < 2:
        replies.append(pool.submit(httpx.get, server.url + READ, timeout=DEADLINE))
        until(lambda: len(list(server.folder.glob("asked-*"))) == len(replies))
    return replies


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -9)])
def test_no_request_in_flight_is_lost_at_a_signal_or_when_the_parent_is_killed(
    tmp_path: Path, number: int, code: int
) -> None:
    with (
        group(tmp_path, *HELD_READS, "600", "0") as server,
        ThreadPoolExecutor(64) as pool,
    ):
        replies = ask_until_both_hold_a_request(server, pool)
        server.parent.send_signal(number)
        until(lambda: refuses(server.url))
        (tmp_path / "held").unlink()
        assert {reply.result(DEADLINE).status_code for reply in replies} == {200}
        assert server.gone() == code


def test_a_request_that_never_ends_does_not_keep_them(tmp_path: Path) -> None:
    with (
        group(tmp_path, *HELD_READS, "0", "0") as server,
        ThreadPoolExecutor(64) as pool,
    ):
        ask_until_both_hold_a_request(server, pool)
        assert server.stop() == 1
        assert server.log("server_overdue")


def test_a_signal_while_they_start_ends_all_with_0(tmp_path: Path) -> None:
    (tmp_path / "slow").touch()
    with group(tmp_path, *HELD_READS, "60", "0") as server:
        until((tmp_path / "starting").exists)
        assert len(server.workers) == 1  # it may have to migrate the database
        assert server.stop() == 0
        assert not server.log("server_ready")


def test_a_worker_that_cannot_start_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    prod = {"ENV": "prod", "SINGLE_NODE": "true", "ALLOWED_HOSTS": "localhost"}
    prod |= {"COLLECT_ACCESS": "off"}
    end = run(tmp_path, "serve", "--port", "0", WORKERS="2", **prod)
    assert (end.code, end.shown) == (2, "")
    first, line = end.said.splitlines()  # the workers do not name the database again
    assert json.loads(first)["event"] == "database_in_use"
    assert line.startswith("serve: could not start: ")
    assert "python -m app migrate" in line


def test_a_port_in_use_is_refused_although_its_user_shares_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        end = run(tmp_path, "serve", "--port", str(port), WORKERS="2")
    assert end.code == 2
    assert f"PORT={port} " in end.said
    assert list(tmp_path.iterdir()) == []


def test_one_keeper_and_one_collector_are_beside_them(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {
            "WORKERS": "2",
            "MB_API_BASE_URL": f"{base}/api/v4",
            "COINGECKO_API_BASE_URL": f"{base}/api/v3",
        }
        with group(tmp_path, "-m", "app.processes.local", "--port", "0", **settings) as server:
            beside = ("app.workers.initial_loader", "app.workers.price_collector")

            def run_beside() -> list[bool]:
                return [any(name in line for line in server.processes.values()) for name in beside]

            until(lambda: all(run_beside()))
            assert len(server.processes) == 5
            assert len(server.workers) == 2
            assert server.stop(signal.SIGINT) == 0
