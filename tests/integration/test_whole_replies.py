"""Replies that are sent whole: on the wire they are those of plain uvicorn, in order."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import BinaryIO

import pytest

from tests.support.history import History
from tests.support.processes import DEADLINE, process, url_in_log
from tests.support.served import Served, api

READ = "/BRLBTC/mms?range=20"
NOTHING = f"{READ}&to=2024-03-01"
"""From before the first candle: thousands of replies fit into the buffers of a connection."""
_OWN = re.compile(rb"(?:date|server): .*\r\n")


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The ports of our server and of plain uvicorn, on one database."""
    folder = tmp_path_factory.mktemp("whole")
    url = f"sqlite:///{folder / 'mms.db'}"
    with closing(History(url, days=800)), ExitStack() as running:
        served: Served = running.enter_context(api(folder, "ours", DB_URL=url))
        variables = {"DB_URL": url, "ACCESS_LOG": "off"}
        plain = running.enter_context(
            process(folder, "-m", "uvicorn", "app.main:app", "--port", "0", **variables)
        )
        yield served.port, int(url_in_log(plain).rpartition(":")[2])


def request(
    method: str, target: str, *headers: str, version: str = "1.1", name: str = "a"
) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", f"X-Request-ID: {name}"]
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode()


def reply(stream: BinaryIO, method: str = "GET") -> tuple[bytes, bytes]:
    """The next head, without what each server says of itself, and its body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, head
        head += line
    length = re.search(rb"content-length: (\d+)", head)
    body = b"" if method == "HEAD" or length is None else stream.read(int(length[1]))
    return _OWN.sub(b"", head), body


def exchange(port: int, *requests: tuple[str, bytes]) -> list[tuple[bytes, bytes]]:
    """The replies to requests that are sent at once over one connection."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.sendall(b"".join(sent for _, sent in requests))
        with client.makefile("rb") as stream:
            return [reply(stream, method) for method, _ in requests]


def test_a_reply_from_memory_is_on_the_wire_what_plain_uvicorn_sends(
    ports: tuple[int, int],
) -> None:
    for port in ports:
        exchange(port, ("GET", request("GET", READ)))  # from here on it lies in memory
    tag = re.search(rb'etag: (".*?")', exchange(ports[0], ("GET", request("GET", READ)))[0][0])
    assert tag is not None
    cases = [
        ("GET", request("GET", READ)),
        ("HEAD", request("HEAD", READ)),
        ("GET", request("GET", READ, "Accept-Encoding: gzip")),
        ("GET", request("GET", READ, f"If-None-Match: {tag[1].decode()}")),
        ("GET", request("GET", f"{READ}&from=2024-01-01", "Content-Length: 5") + b"12345"),
        ("GET", request("GET", READ, "Expect: 100-continue")),
        ("GET", request("GET", f"{READ}&x=1")),
        ("GET", request("GET", "/healthz")),
        ("GET", request("GET", READ)),
    ]
    ours, plain = (exchange(port, *cases) for port in ports)
    assert ours == plain
    assert [int(head.split()[1]) for head, _ in ours] == [200] * 3 + [304, 200, 200, 422, 200, 200]
    assert len(ours[0][1]) > 10_000
    assert b"content-encoding: gzip" in ours[2][0]
    for last in (request("GET", READ, "Connection: close"), request("GET", READ, version="1.0")):
        ours, plain = (exchange(port, *cases[:2], ("GET", last)) for port in ports)
        assert ours == plain
        assert b"connection: close" in ours[-1][0]


def test_thousands_of_requests_at_once_are_answered_in_their_order(ports: tuple[int, int]) -> None:
    # The first of each hundred goes the ordinary way, and those behind it wait for it.
    paths = ["/pairs" if number % 100 == 0 else NOTHING for number in range(3_000)]
    exchange(ports[0], ("GET", request("GET", NOTHING)))
    requests = [("GET", request("GET", path, name=f"n{n}")) for n, path in enumerate(paths)]
    ids = [re.search(rb"x-request-id: (\S+)", head) for head, _ in exchange(ports[0], *requests)]
    assert [found and found[1] for found in ids] == [b"n%d" % n for n in range(len(paths))]
