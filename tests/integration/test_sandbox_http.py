"""The stand-in exchange over real HTTP: in the process, and as the command that users start."""

from __future__ import annotations

import re
import signal
import socket
import threading
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from app.sandbox.__main__ import main
from app.sandbox.exchange import V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.processes import DEADLINE, process

NOW = 1_700_006_400 + 36_000


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(Simulation(1), clock=lambda: NOW)


def test_every_reply_has_the_exchange_s_own_date_and_says_that_it_is_a_stand_in(
    exchange: Exchange,
) -> None:
    with serve(exchange) as url, httpx.Client(base_url=url) as client:
        for path in (f"{V4_PATH}/symbols", f"{V4_PATH}/candles", "/nope"):
            reply = client.get(path)
            assert parsedate_to_datetime(reply.headers["Date"]).timestamp() == NOW
            assert reply.headers["Server"] == "mms-sandbox"
            assert reply.headers["Content-Type"].startswith("application/json")
            assert int(reply.headers["Content-Length"]) == len(reply.content)
            assert reply.http_version == "HTTP/1.1"


def test_it_listens_on_an_ipv6_address_and_names_it_in_brackets(exchange: Exchange) -> None:
    for host in ("::1", "[::1]"):
        with serve(exchange, host=host) as url:
            assert url.startswith("http://[::1]:")
            assert httpx.get(f"{url}{V4_PATH}/symbols").status_code == 200


def test_when_serving_ends_no_thread_and_no_port_is_left_though_a_client_stays_connected(
    exchange: Exchange,
) -> None:
    before = set(threading.enumerate())
    with serve(exchange) as url:
        connection = socket.create_connection(address(url), timeout=60)
        connection.sendall(b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(16).startswith(b"HTTP/1.1 404")
    with connection:
        while connection.recv(4096):
            pass  # the rest of the reply, then the end
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(url), timeout=60)


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(
    exchange: Exchange, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(exchange) as url:
        for _ in range(5):
            with socket.create_connection(address(url), timeout=60) as connection:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # close with a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.sendall(b"GET /api/v4/symbols HTTP/1.1\r\nHo")
        assert httpx.get(f"{url}{V4_PATH}/symbols", timeout=60).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_the_command_says_one_line_serves_and_ends_with_0_on_a_signal(tmp_path: Path) -> None:
    # The line must come by itself, though nobody watches.
    with process(tmp_path, "-m", "app.sandbox", PYTHONUNBUFFERED="") as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        found = re.fullmatch(r"sandbox exchange on (http://127\.0\.0\.1:\d+)\n", line)
        assert found is not None, line
        with httpx.Client(timeout=60) as client:  # still connected when the signal comes
            assert client.get(f"{found[1]}{V4_PATH}/symbols").status_code == 200
            child.send_signal(signal.SIGTERM)
            assert child.wait(timeout=DEADLINE) == 0
        assert child.communicate() == ("", "")


def test_a_port_in_use_ends_the_command_with_2_and_one_line(
    exchange: Exchange, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(exchange) as url:
        assert main(["--port", str(address(url)[1])]) == 2
    out, said = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"sandbox: .* --port.*\n", said)


def address(url: str) -> tuple[str, int]:
    parts = httpx.URL(url)
    assert parts.port is not None
    return parts.host, parts.port
