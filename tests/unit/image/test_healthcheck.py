"""The health check of the image, against a real server and against things that are none."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).resolve().parents[3] / "infra" / "image" / "healthcheck.py"


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    """The script as a module; it lies in no package."""
    spec = importlib.util.spec_from_file_location("healthcheck", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answers(BaseHTTPRequestHandler):
    """200 to /healthz, 503 to anything else."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield str(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def saying(reply: bytes) -> Iterator[str]:
    """A port where every caller gets these bytes, and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield str(listener.getsockname()[1])
        thread.join()


def test_a_reply_of_200_is_healthy(healthcheck: ModuleType, port: str) -> None:
    assert healthcheck.main([], {"PORT": port}) == 0


def test_any_other_status_is_not(healthcheck: ModuleType, port: str) -> None:
    assert healthcheck.main(["/readyz"], {"PORT": port}) == 1


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1", b"220 mail ready\r\n", b"HTTP/1.1 ok\r\n"])
def test_what_does_not_speak_http_is_not_healthy(healthcheck: ModuleType, reply: bytes) -> None:
    with saying(reply) as port:
        assert healthcheck.main([], {"PORT": port}) == 1


def test_nobody_there_is_not_healthy_and_says_so(
    healthcheck: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    assert healthcheck.main([], {"PORT": port}) == 1
    assert f"port {port} does not answer" in capsys.readouterr().err


def test_it_runs_as_the_image_runs_it(port: str) -> None:
    command = [sys.executable, "-I", "-S", str(FILE)]
    done = subprocess.run(command, env={"PORT": port}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "/healthz 200\n", "")
