"""Behind a proxy that passes Upgrade and keeps its connections, no client gets another's reply."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import absent
from tests.support.patience import until
from tests.support.ports import free_port
from tests.support.processes import DEADLINE, process
from tests.support.raw import HOST, Reply, get, replies, request

CONFIGURATION: Final = """
daemon off; pid {folder}/nginx.pid; {user} error_log {folder}/nginx.log; worker_processes 1;
events {{ }}
http {{
    access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
    fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    upstream mms {{ server 127.0.0.1:{api}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{front};
        location / {{
            proxy_pass http://mms; proxy_http_version 1.1; proxy_request_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection {connection};
        }}
    }}
}}
"""

READ: Final = b"GET /BRLBTC/mms?range=20 HTTP/1.1"
SMUGGLED: Final = request(b"GET /BRLBTC/mms?range=50 HTTP/1.1", HOST)
NEVER: Final = 1.0
"""Seconds in which a reply would have come that nothing holds back."""


def read_reply(connection: socket.socket) -> Reply:
    """The next reply."""
    received = b""
    while not (outcome := replies(received)).replies:
        part = connection.recv(65_536)
        assert part, f"closed after {received!r}"
        received += part
    assert outcome.rest == b""
    return outcome.replies[0]


@pytest.fixture(params=["$http_connection", '"upgrade"'])
def front(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server whose reads wait for a line, and the port of an nginx before it."""
    program = shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    if program is None:
        absent("nginx", "apt-get install nginx")
    with process(tmp_path, "-m", "tests.support.slow_server", "5", "0") as server:
        assert server.stdout is not None
        port = server.stdout.readline().rpartition(":")[2].strip()
        front = free_port()
        user = "user root;" if os.geteuid() == 0 else ""
        file = tmp_path / "nginx.conf"
        parts = {"folder": tmp_path, "user": user, "api": port, "front": front}
        file.write_text(CONFIGURATION.format(**parts, connection=request.param))
        errors = tmp_path / "nginx.log"
        with subprocess.Popen([program, "-e", str(errors), "-c", str(file)]) as nginx:
            try:
                until(lambda: nginx.poll() is not None or _listens(front), DEADLINE)
                assert nginx.poll() is None, errors.read_text()
                yield server, front
            finally:
                nginx.terminate()
                nginx.wait(DEADLINE)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_request_in_the_body_of_an_upgrade_does_not_take_the_reply_of_another_client(
    front: tuple[subprocess.Popen[str], int],
) -> None:
    server, port = front
    assert server.stdin is not None
    assert server.stdout is not None
    attacker, victim = (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) for _ in range(2)
    )
    with attacker, victim:
        upgrade = (b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: %d" % len(SMUGGLED))
        attacker.sendall(request(READ, HOST, *upgrade))
        assert server.stdout.readline() == "asked\n"
        attacker.sendall(SMUGGLED)
        # Only now: the proxy must have passed the body on before the reply comes.
        select.select([attacker], [], [], NEVER)
        server.stdin.write("\n")
        server.stdin.flush()
        assert read_reply(attacker).status == 200
        victim.sendall(get())
        if not select.select([victim], [], [], NEVER)[0]:
            server.stdin.write("\n")  # what was smuggled waits for a line before the victim's reply
            server.stdin.flush()
        assert read_reply(victim).body == b'{"status":"alive"}\n'
