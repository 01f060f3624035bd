"""The health check of the image, against a real server and against things that are none."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.answering import answering

FILE = Path(__file__).resolve().parents[3] / "infra" / "image" / "healthcheck.py"


def check(port: object, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it as the image does."""
    command = [sys.executable, "-I", "-S", str(FILE), *words]
    return subprocess.run(
        command, env={"PORT": str(port)}, capture_output=True, text=True, check=False
    )


def test_a_reply_of_200_is_healthy_and_any_other_is_not() -> None:
    with answering(lambda path: (200 if path == "/healthz" else 503, {}, b"{}")) as port:
        done = check(port)
        assert (done.returncode, done.stdout, done.stderr) == (0, "/healthz 200\n", "")
        assert check(port, "/readyz").returncode == 1


@pytest.mark.parametrize("reply", [b"", b"220 mail ready\r\n", b"HTTP/1.1 ok\r\n"])
def test_what_does_not_speak_http_is_not_healthy(reply: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        done = check(listener.getsockname()[1])
        thread.join()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_nobody_there_is_not_healthy_and_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = check(port)
    assert done.returncode == 1
    assert str(port) in done.stderr
