"""What a socket can send that no HTTP client would."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.processes import DEADLINE, process, url_in_log


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
    b"GET /\xff\xfe/mms?range=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /BRLBTC/mms?range=" + b"9" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
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
