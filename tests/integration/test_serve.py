"""The API as a process: how it starts, refuses to start, and stops."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app import serve
from tests.support.api import FakeRuntime, settings
from tests.support.commands import run
from tests.support.patience import until
from tests.support.processes import DEADLINE, ask_over, ended, process, refuses, url_in_log
from tests.support.served import api

READ = "/BRLBTC/mms?range=20"


def connected(url: str) -> socket.socket:
    """A connection over which one request was answered, and which is idle now."""
    parts = urlsplit(url)
    made = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=DEADLINE)
    ask_over(made)
    return made


def test_the_command_serves_and_leaves_with_0_after_a_signal(tmp_path: Path) -> None:
    with process(tmp_path, "-m", "app.serve", "--port", "0") as child:
        url = url_in_log(child)
        assert httpx.get(f"{url}/readyz", timeout=DEADLINE).json()["data"] == "empty"
        got = httpx.get(f"{url}{READ}", timeout=DEADLINE)
        assert (got.status_code, got.json()) == (200, [])
        assert "no load of it has begun" in got.headers["x-data-reason"]
        assert "server" not in got.headers
        # Idle connections hold nothing up.
        idle = [connected(url) for _ in range(3)]
        child.send_signal(signal.SIGTERM)
        assert [connection.recv(1) for connection in idle] == [b"", b"", b""]
        code, said = ended(child)
        for connection in idle:
            connection.close()
    assert code == 0
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events[-2:] == ["server_stopping", "server_stopped"]


def test_uvicorn_serves_the_application_object(tmp_path: Path) -> None:
    with process(tmp_path, "-m", "uvicorn", "app.main:app", "--port", "0") as child:
        url = url_in_log(child)
        assert httpx.get(f"{url}/health", timeout=DEADLINE).status_code == 200
        child.send_signal(signal.SIGTERM)
        _, said = ended(child)
    assert "Traceback" not in said
    # Our own access line, and not uvicorn's as well.
    assert said.count("/health") == 1


def refused(folder: Path, *arguments: str, module: str = "serve", **settings: str) -> str:
    """The one line with which a server refuses to start."""
    end = run(folder, module, *arguments, **settings)
    assert (end.code, end.shown) == (2, "")
    [line] = end.said.splitlines()
    return line


def test_a_bad_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    assert refused(tmp_path, PORT="x").startswith("serve: could not start: PORT=x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["serve", "processes.local"])
def test_a_port_in_use_is_one_line_that_says_what_to_do(tmp_path: Path, module: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, "--port", str(port), module=module)
    assert f"PORT={port} " in line
    assert "in use" in line
    assert "--port" in line
    # Refused before the database was touched.
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_is_not_ours_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for host in ("192.0.2.1", "no..host"):
        assert f"HOST={host}, " in refused(tmp_path, "--host", host, "--port", "0")


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("::", ["[::1]"]),
        ("[::1],127.0.0.1", ["[::1]", "127.0.0.1"]),
        ("0.0.0.0,::", ["127.0.0.1", "[::1]"]),
    ],
)
def test_every_address_of_host_is_served_and_named(
    tmp_path: Path, host: str, says: list[str]
) -> None:
    with api(tmp_path, "api", HOST=host, ACCESS_LOG="on") as served:
        urls = [line["url"] for line in served.log("server_ready")]
        assert urls == [f"http://{each}:{served.port}" for each in says]
        for each in ("127.0.0.1", "[::1]"):
            got = httpx.get(f"http://{each}:{served.port}/healthz", timeout=DEADLINE)
            assert got.status_code == 200
        assert served.stop() == 0
        assert {line["client"] for line in served.log("http_request")} == {"127.0.0.1", "::1"}


def test_one_address_that_cannot_be_listened_on_stops_the_start_before_any_is_served(
    tmp_path: Path,
) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, HOST="127.0.0.1,::1", PORT=str(port))
    assert line.startswith(f"serve: could not start: HOST=::1, PORT={port} cannot be listened on")
    assert list(tmp_path.iterdir()) == []


SLOW = ("-m", "tests.support.slow_server")


def slow_request(
    child: subprocess.Popen[str], pool: ThreadPoolExecutor, read: str = READ
) -> tuple[str, Future[httpx.Response]]:
    """Begin a read that waits; returns the address and the future of its reply."""
    assert child.stdout is not None
    url = child.stdout.readline().split()[1]
    reply = pool.submit(httpx.get, f"{url}{read}", timeout=DEADLINE)
    assert child.stdout.readline() == "asked\n"
    return url, reply


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def test_a_request_in_flight_is_answered_before_the_process_leaves(tmp_path: Path) -> None:
    with process(tmp_path, *SLOW, "60", "0") as child, ThreadPoolExecutor() as pool:
        url, reply = slow_request(child, pool)
        child.send_signal(signal.SIGTERM)
        until(lambda: refuses(url))
        assert child.poll() is None
        go(child)
        got = reply.result(timeout=DEADLINE)
        out, _ = child.communicate(timeout=DEADLINE)
    assert got.status_code == 200
    assert len(got.json()) == 11
    assert child.returncode == 0
    assert out == "closed 1\n"


def test_a_heavy_read_that_waits_at_a_stop_is_refused_and_the_one_that_runs_is_answered(
    tmp_path: Path,
) -> None:
    heavy = f"{READ}&from=2015-01-01"
    with process(tmp_path, *SLOW, "60", "0") as child, ThreadPoolExecutor() as pool:
        url, reply = slow_request(child, pool, heavy)
        with connected(url) as waiting:
            waiting.sendall(f"GET {heavy} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            # Answered after the server has read the other one.
            assert httpx.get(f"{url}/healthz", timeout=DEADLINE).status_code == 200
            child.send_signal(signal.SIGTERM)
            got = b"".join(iter(lambda: waiting.recv(65_536), b""))
        go(child)
        assert reply.result(timeout=DEADLINE).status_code == 200
        assert child.wait(timeout=DEADLINE) == 0
    assert got.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"overloaded"' in got


def test_readiness_goes_before_the_connections_do(tmp_path: Path) -> None:
    with process(tmp_path, *SLOW, "60", "60") as child, ThreadPoolExecutor() as pool:
        url, reply = slow_request(child, pool)
        assert httpx.get(f"{url}/readyz", timeout=DEADLINE).status_code == 200
        child.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{url}/readyz", timeout=DEADLINE).status_code == 503)
        # Still serving whoever has not noticed yet.
        assert httpx.get(f"{url}/healthz", timeout=DEADLINE).status_code == 200
        go(child)
        assert reply.result(timeout=DEADLINE).status_code == 200
        # A second signal ends the wait.
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=DEADLINE) == 0


def test_a_request_that_never_ends_does_not_keep_the_process(tmp_path: Path) -> None:
    with process(tmp_path, *SLOW, "0", "0") as child, ThreadPoolExecutor() as pool:
        _, reply = slow_request(child, pool)
        child.send_signal(signal.SIGTERM)
        # Its standard input stays open, so the read goes on waiting.
        code = child.wait(timeout=DEADLINE)
        _, said = ended(child)
        assert reply.result(timeout=DEADLINE).json()["code"] == "overloaded"
    assert code == 1
    assert "server_overdue" in said
    assert "Traceback" not in said


def test_a_request_that_was_cut_off_and_then_ended_is_said_and_exit_code_1(tmp_path: Path) -> None:
    with process(tmp_path, *SLOW, "0", "0") as child, ThreadPoolExecutor() as pool:
        _, reply = slow_request(child, pool)
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        assert any("Cancel 1 running task" in line for line in child.stderr)
        go(child)
        code = child.wait(timeout=DEADLINE)
        said = child.stderr.read()
        assert reply.result(timeout=DEADLINE).status_code == 503
    assert code == 1
    assert said.count("server_overdue") == 1


def test_threads_take_short_turns_and_the_collector_small_rounds_only_while_it_serves() -> None:
    def now() -> tuple[float, bool]:
        return sys.getswitchinterval(), gc.get_freeze_count() > 0

    seen = []

    def ready(_url: str) -> None:
        seen.append(now())
        os.kill(os.getpid(), signal.SIGTERM)

    before = now()
    assert serve.run(settings(port="0"), build=FakeRuntime().build, on_ready=ready) == 0
    assert seen == [(serve.SWITCH_INTERVAL, True)]
    assert now() == before == (0.005, False)
