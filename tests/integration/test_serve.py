"""The API as a process: how it starts, refuses to start, answers garbage, and stops."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.serve import main

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 30.0
READ = "/BRLBTC/mms?range=20"


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """The environment of a process that knows nothing of this machine's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "LANG") or name.startswith("COV")
    }
    mine = {"DB_URL": f"sqlite:///{folder / 'mms.db'}", "LOG_FORMAT": "json", **settings}
    return {**kept, "PYTHONPATH": str(ROOT), **mine}


@contextmanager
def process(folder: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process; killed where the test leaves it running."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder, **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def url_in_log(child: subprocess.Popen[str]) -> str:
    """The address that the child's log says it serves."""
    assert child.stderr is not None
    for line in child.stderr:
        found = re.search(r"http://[0-9.:]+", line)
        if found:
            return found[0]
    raise AssertionError("the process ended before it served")


def ended(child: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and what was said on standard error."""
    _, said = child.communicate(timeout=DEADLINE)
    return child.returncode, said


def test_the_command_serves_and_leaves_with_0_after_a_signal(tmp_path: Path) -> None:
    for sent in (signal.SIGTERM, signal.SIGINT):
        with process(tmp_path, "-m", "app.serve", "--port", "0") as child:
            url = url_in_log(child)
            assert httpx.get(f"{url}/readyz").json()["data"] == "empty"
            got = httpx.get(f"{url}{READ}")
            assert (got.status_code, got.json()) == (200, [])
            assert "make initial_load" in got.headers["x-data-reason"]
            assert "server" not in got.headers
            child.send_signal(sent)
            code, said = ended(child)
        assert code == 0
        events = [json.loads(line)["event"] for line in said.splitlines()]
        assert events[-2:] == ["server_stopping", "server_stopped"]
        assert "Traceback" not in said


def test_uvicorn_serves_the_application_object(tmp_path: Path) -> None:
    with process(tmp_path, "-m", "uvicorn", "app.main:app", "--port", "0") as child:
        url = url_in_log(child)
        assert httpx.get(f"{url}/health").status_code == 200
        child.send_signal(signal.SIGTERM)
        _, said = ended(child)
    assert "Traceback" not in said
    # Our own access line, and not uvicorn's as well.
    assert said.count("/health") == 1


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "nonsense"), ("ALLOWED_PAIRS", ""), ("ENV", "prod")]
)
def test_a_bad_setting_is_one_line_and_exit_code_2(tmp_path: Path, name: str, value: str) -> None:
    bad = {name: value or ",", "DB_URL": "sqlite:///x.db"}
    with process(tmp_path, "-m", "app.serve", **bad) as child:
        code, said = ended(child)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert said.startswith("The API cannot start: ")
    assert name in said


def test_a_database_that_cannot_be_used_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "mms.db").write_bytes(b"this is no database " * 500)
    with process(tmp_path, "-m", "app.serve", "--port", "0") as child:
        code, said = ended(child)
    assert code == 2
    assert len(said.splitlines()) == 1, said
    assert said.startswith("The API cannot start: ")


@pytest.mark.parametrize(
    "settings", [{"PORT": "nonsense"}, {"ENV": "prod", "DB_URL": "sqlite:///x"}]
)
def test_uvicorn_too_ends_with_the_sentence_and_no_traceback(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    with process(tmp_path, "-m", "uvicorn", "app.main:app", "--port", "0", **settings) as child:
        code, said = ended(child)
    assert code != 0
    assert "Traceback" not in said
    assert next(iter(settings)) in said


def test_a_port_in_use_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with process(tmp_path, "-m", "app.serve", "--port", str(port)) as child:
            code, said = ended(child)
    assert code == 2
    assert len(said.splitlines()) == 1
    assert f"port {port} of 127.0.0.1 is in use" in said
    assert "--port or PORT" in said
    # Refused before the database was touched.
    assert not (tmp_path / "mms.db").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "192.0.2.1", "--port", "0"], "HOST=192.0.2.1 is no address of this machine"),
        (["--host", "no such host", "--port", "0"], "is no address of this machine"),
        (["--port", "70000"], "PORT=70000"),
        (["--port", "x"], "PORT=x"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--grace", "-1"], ["--drain", "1.5"], ["--nonsense"]])
def test_an_option_that_makes_no_sense_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


SLOW = ("-m", "tests.support.slow_server")


def slow_request(
    child: subprocess.Popen[str], pool: ThreadPoolExecutor
) -> tuple[str, Future[httpx.Response]]:
    """Begin a read that waits; returns the address and the future of its reply."""
    assert child.stdout is not None
    url = child.stdout.readline().split()[1]
    reply = pool.submit(httpx.get, f"{url}{READ}", timeout=DEADLINE)
    assert child.stdout.readline() == "asked\n"
    return url, reply


def go(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def until_refused(url: str) -> None:
    """Wait until nothing listens any more."""
    parts = urlsplit(url)
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up:
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
        except OSError:
            return
    raise AssertionError("the server still listens")


def test_a_request_in_flight_is_answered_before_the_process_leaves(tmp_path: Path) -> None:
    with process(tmp_path, *SLOW, "20", "0") as child, ThreadPoolExecutor() as pool:
        url, reply = slow_request(child, pool)
        child.send_signal(signal.SIGTERM)
        until_refused(url)
        assert child.poll() is None
        go(child)
        got = reply.result(timeout=DEADLINE)
        out, _ = child.communicate(timeout=DEADLINE)
    assert got.status_code == 200
    assert len(got.json()) == 11
    assert child.returncode == 0
    assert out == "closed 1\n"


def test_readiness_goes_before_the_connections_do(tmp_path: Path) -> None:
    with process(tmp_path, *SLOW, "20", "60") as child, ThreadPoolExecutor() as pool:
        url, reply = slow_request(child, pool)
        assert httpx.get(f"{url}/readyz").status_code == 200
        child.send_signal(signal.SIGTERM)
        give_up = time.monotonic() + DEADLINE
        while httpx.get(f"{url}/readyz").status_code != 503:
            assert time.monotonic() < give_up
        # Still serving whoever has not noticed yet.
        assert httpx.get(f"{url}/healthz").status_code == 200
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
        assert reply.exception(timeout=DEADLINE) or reply.result().status_code == 500
    assert code == 1
    assert "server_overdue" in said


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that stays up for the tests of this module that ask it things."""
    folder = tmp_path_factory.mktemp("serve")
    with process(folder, "-m", "app.serve", "--port", "0", ACCESS_LOG="off") as child:
        yield url_in_log(child)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=DEADLINE)


GARBAGE = [
    b"GET /BRLBTC/mms?range=20\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xff\xfe/mms?range=20 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /BRLBTC/mms?range=\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /nowhere?\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%ff%00%0a?%ff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /BRLBTC/mms?range=" + b"9" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET " + b"/a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET BRLBTC/mms HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://[::1/BRLBTC/mms HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\x01b\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /pairs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"POST /pairs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]


@pytest.mark.parametrize("sent", GARBAGE)
def test_garbage_on_the_wire_gets_no_server_error_and_stops_nothing(url: str, sent: bytes) -> None:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=DEADLINE) as raw:
        raw.sendall(sent)
        if not sent.endswith(b"\r\n\r\n"):
            raw.shutdown(
                socket.SHUT_WR
            )  # What is not complete is answered once nothing can follow.
        received = raw.recv(65_536)
    assert re.match(rb"HTTP/1\.1 [24]\d\d ", received), received[:500]
    assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_connection_is_kept_for_the_next_request(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        for _ in range(3):
            assert client.get(READ).status_code == 200
            head = client.head(READ)
            assert (head.status_code, head.content) == (200, b"")
        assert "connection" not in client.get("/nowhere").headers
