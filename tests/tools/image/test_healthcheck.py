"""A port without HTTP is not healthy; `make image-check` proves the rest."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.served import api

FILE = Path(__file__).resolve().parents[3] / "infra" / "image" / "healthcheck.py"


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
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(FILE)],
            env={"PORT": str(listener.getsockname()[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        thread.join()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["", "::", "[::1],127.0.0.1", "::1", "0.0.0.0"])
def test_the_health_check_asks_where_the_api_listens(tmp_path: Path, host: str) -> None:
    with api(tmp_path, "api", HOST=host, ROOT_PATH="/mms") as served:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(FILE)],
            env={"PORT": str(served.port), "HOST": host},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "/healthz 200\n"), done.stderr
