"""The stand-in exchange over real HTTP: in the process, and as the command that users start."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from app.sandbox.exchange import LEGACY_PATH, V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_700_006_400 + 36_000
RAW = "mb_api/legacy_v4_candle_BRLBTC_1d_2022-01-02_2024-03.raw.json"


@pytest.fixture
def exchange() -> Exchange:
    return Exchange(Simulation(1), clock=lambda: NOW)


@contextmanager
def started(*argv: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a child process, once it has said where it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app.sandbox", *argv],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # the line must come by itself
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def address_in(line: str, kind: str) -> str:
    found = re.fullmatch(rf"sandbox exchange \({kind}\) on (http://127\.0\.0\.1:\d+)\n", line)
    assert found is not None, line
    return found[1]


def test_every_reply_has_the_exchange_s_own_date_and_says_that_it_is_a_stand_in(
    exchange: Exchange,
) -> None:
    with serve(exchange) as url, httpx.Client(base_url=url) as client:
        for path in (f"{V4_PATH}/symbols", f"{V4_PATH}/candles", "/nope"):
            reply = client.get(path)
            assert parsedate_to_datetime(reply.headers["Date"]).timestamp() == NOW
            assert reply.headers["Server"] == "mms-sandbox (simulated)"
            assert reply.headers["Content-Type"].startswith("application/json")
            assert int(reply.headers["Content-Length"]) == len(reply.content)
            assert reply.http_version == "HTTP/1.1"


def test_a_post_has_no_route_and_ends_its_connection(exchange: Exchange) -> None:
    with serve(exchange) as url, httpx.Client(base_url=url) as client:
        post = client.post(f"{V4_PATH}/symbols", content=b"x" * 100)
        assert post.status_code == 404
        assert post.headers["Connection"] == "close"
        assert client.get(f"{V4_PATH}/symbols").status_code == 200


def test_when_serving_ends_no_thread_and_no_port_is_left_though_a_client_stays_connected(
    exchange: Exchange,
) -> None:
    before = set(threading.enumerate())
    with serve(exchange) as url:
        connection = socket.create_connection(address(url), timeout=10)
        connection.sendall(b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(16).startswith(b"HTTP/1.1 404")
    with connection:
        while connection.recv(4096):
            pass  # the rest of the reply, then the end
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(url), timeout=10)


def test_a_client_that_leaves_in_the_middle_disturbs_nobody(
    exchange: Exchange, capfd: pytest.CaptureFixture[str]
) -> None:
    with serve(exchange) as url:
        for _ in range(5):
            with socket.create_connection(address(url), timeout=10) as connection:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # close with a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.sendall(b"GET /api/v4/symbols HTTP/1.1\r\nHo")
        assert httpx.get(f"{url}{V4_PATH}/symbols").status_code == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_says_one_line_serves_and_ends_with_0_on_a_signal(
    number: signal.Signals,
) -> None:
    with started() as (process, line):
        url = address_in(line, "simulated")
        assert httpx.get(f"{url}{V4_PATH}/symbols").status_code == 200
        with httpx.Client() as client:  # still connected when the signal comes
            assert client.get(f"{url}/nope").status_code == 404
            process.send_signal(number)
            assert process.wait(timeout=30) == 0
        assert process.communicate() == ("", "")


def test_a_port_in_use_ends_the_command_with_2_and_one_line(exchange: Exchange) -> None:
    with serve(exchange) as url:
        port = str(address(url)[1])
        with started("--port", port) as (process, line):
            assert line == ""
            _, err = process.communicate(timeout=30)
            assert process.returncode == 2
    assert re.fullmatch(rf"sandbox: cannot listen on 127\.0\.0\.1 port {port} .*\n", err)


def v4_rows(client: httpx.Client) -> list[tuple[Decimal, ...]]:
    query = "?symbol=BTC-BRL&resolution=1d&to=4102444800&countback=1000"
    columns = client.get(f"{V4_PATH}/candles{query}").json()
    return [tuple(map(Decimal, row)) for row in zip(*(columns[k] for k in "tohlcv"), strict=True)]


def legacy_rows(client: httpx.Client) -> list[tuple[Decimal, ...]]:
    body = client.get(f"{LEGACY_PATH}/BRLBTC/candle?from=0&to=4102444800&precision=1d").text
    return rows_of(body)


def rows_of(text: str) -> list[tuple[Decimal, ...]]:
    names = ("timestamp", "open", "high", "low", "close", "volume")
    reply = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return [tuple(candle[name] for name in names) for candle in reply["candles"]]


@pytest.mark.parametrize("ask", [v4_rows, legacy_rows])
def test_the_recorded_reply_comes_back_to_the_last_digit_in_either_format(
    recordings: Path, ask: Callable[[httpx.Client], list[tuple[Decimal, ...]]]
) -> None:
    path = recordings / RAW
    with (
        started("--replay", str(path)) as (_, line),
        httpx.Client(base_url=address_in(line, "replay")) as client,
    ):
        assert ask(client) == rows_of(path.read_text())
        date = parsedate_to_datetime(client.get("/").headers["Date"]).timestamp()
    # The exchange's clock stands at the recording's own time, 2024-03-30 20:10:17, and goes on.
    assert 0 <= date - 1_711_829_417 < 60


def address(url: str) -> tuple[str, int]:
    parts = httpx.URL(url)
    assert parts.port is not None
    return parts.host, parts.port
