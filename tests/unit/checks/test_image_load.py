"""The readers of the load test count what they get, also where it goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from checks.image.load import Readers


class Mixed(BaseHTTPRequestHandler):
    """Good, bad and cut replies, by the path."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/bad" else 200)
        self.send_header("Content-Length", "9" if self.path == "/cut" else "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.close_connection = self.path == "/cut"

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Mixed) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_good_replies_are_counted_and_none_failed(port: int) -> None:
    tally = Readers(port, ["/good"], 2).for_seconds(0.2)
    assert tally.asked == tally.statuses[200] > 0
    assert (tally.failed, tally.bytes) == (0, 2 * tally.asked)
    assert tally.slowest > 0


def test_statuses_and_cut_replies_are_failures(port: int) -> None:
    tally = Readers(port, ["/good", "/bad", "/cut"], 1).for_seconds(0.2)
    assert tally.statuses[500] > 0
    assert tally.errors["IncompleteRead"] > 0
    assert tally.failed == tally.statuses[500] + tally.errors["IncompleteRead"]


def test_nobody_there_is_a_failure_too() -> None:
    tally = Readers(1, ["/good"], 1).for_seconds(0.05)
    assert tally.failed == tally.asked == tally.errors["ConnectionRefusedError"] > 0
