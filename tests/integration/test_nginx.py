"""The configuration of nginx, in a real one before a process that returns the heads it gets."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.api import errors
from app.api.streams import HEARTBEAT
from app.core.prices import Coin, SpotPrice
from app.db import schema
from app.db.database import open_engine
from app.db.stores.prices import SqlPriceStore
from benchmarks.topology.stack import nginx
from tests.conftest import absent
from tests.support.events import listening
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.served import api

PROXY = "127.0.0.2"
CLIENT = "127.0.0.3"


class Echo(http.server.BaseHTTPRequestHandler):
    """Refuses every request, with the head that it came with as the body; /held once it may.

    /stream has an event at once, and the next one once it may.
    """

    protocol_version = "HTTP/1.1"
    arrived = threading.Semaphore(0)
    free = threading.Event()
    heard = threading.Semaphore(0)

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/stream":
            self._stream()
            return
        if self.path == "/held":
            self.arrived.release()
            self.free.wait(60)
        head = str(self.headers).encode()
        self.send_response(429)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(head)))
        self.end_headers()
        self.wfile.write(head)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: 1\n\n")
        self.wfile.flush()
        self.heard.acquire(timeout=60)
        self.wfile.write(b"data: 2\n\n")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Backend(http.server.ThreadingHTTPServer):
    """A server that nginx can connect to many times at once."""

    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: nginx may leave."""


def nginx_program() -> str:
    """Where nginx is."""
    program = shutil.which("nginx", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")
    if program is None:
        absent("nginx", "apt-get install nginx")
    return str(program)


@contextmanager
def before_the_echo(folder: Path, collect_access: str = "off") -> Iterator[tuple[str, int]]:
    """nginx before Echo; gives its address. It takes PROXY for a proxy before it."""
    program = nginx_program()
    with Backend(("127.0.0.1", 0), Echo) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        ports = [server.server_port] * 2
        with nginx(folder, program, ports, PROXY, collect_access) as url:
            parts = urlsplit(url)
            yield parts.hostname or "", parts.port or 0
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Where nginx listens, with POST closed."""
    with before_the_echo(tmp_path_factory.mktemp("nginx")) as place:
        yield place


def ask(address: tuple[str, int], *lines: str, of: str = CLIENT, body: str = "") -> tuple[str, str]:
    """The head and the body of the reply to a request with these lines, sent from an address."""
    with socket.create_connection(address, timeout=60, source_address=(of, 0)) as connection:
        request = "\r\n".join([*lines, "Connection: close", "", body])
        connection.sendall(request.encode("ascii"))
        reply = b""
        while part := connection.recv(65_536):
            reply += part
    head, _, rest = reply.decode("utf-8").partition("\r\n\r\n")
    return head, rest


def sent_on(address: tuple[str, int], *lines: str, of: str = CLIENT) -> dict[str, str]:
    """The head that the API gets of a request."""
    _, body = ask(address, "GET / HTTP/1.1", "Host: api.example.com", *lines, of=of)
    return dict(line.split(": ", 1) for line in body.split("\n") if line)


def test_the_client_is_whoever_connects_whatever_it_says_of_itself(
    address: tuple[str, int],
) -> None:
    head = sent_on(address, "X-Forwarded-For: 192.0.2.7")
    assert head["X-Forwarded-For"] == CLIENT
    assert head["Host"] == "api.example.com"


def test_a_proxy_before_nginx_says_who_the_client_is(address: tuple[str, int]) -> None:
    head = sent_on(address, "X-Forwarded-For: 192.0.2.7, 198.51.100.9", of=PROXY)
    assert head["X-Forwarded-For"] == "198.51.100.9"


def test_an_upgrade_is_not_passed_on(address: tuple[str, int]) -> None:
    head = sent_on(address, "Upgrade: websocket", "Connection: Upgrade")
    assert {"Upgrade", "Connection"} & set(head) == set()


def test_a_refusal_of_the_api_passes_through_with_its_time_to_wait(
    address: tuple[str, int],
) -> None:
    head, _ = ask(address, "GET / HTTP/1.1", "Host: api.example.com")
    assert head.startswith("HTTP/1.1 429 ")
    assert "\r\nRetry-After: 7" in head


@pytest.mark.parametrize(
    ("lines", "body", "answer"),
    [
        (["GET / HTTP/1.1", "Host: a", "Host: b"], "", errors.MALFORMED),
        (["POST /collect-once/BTC HTTP/1.1", "Host: a"], "", errors.FORBIDDEN),
        (["POST /%63ollect-once/BTC HTTP/1.1", "Host: a"], "", errors.FORBIDDEN),
        (["DELETE / HTTP/1.1", "Host: a"], "", errors.FORBIDDEN),
        (["GETPOST / HTTP/1.1", "Host: a"], "", errors.FORBIDDEN),
        (["POST / HTTP/1.1", "Host: a", "Content-Length: 20000"], "x" * 20_000, errors.TOO_LARGE),
        ([f"GET /{'x' * 9_000} HTTP/1.1", "Host: a"], "", errors.HEADER_TOO_LARGE),
        (["GET / HTTP/1.1", "Host: a", f"X: {'x' * 9_000}"], "", errors.HEADER_TOO_LARGE),
    ],
)
def test_what_nginx_refuses_is_a_problem_as_the_api_writes_it(
    address: tuple[str, int], lines: list[str], body: str, answer: errors.Answer
) -> None:
    head, said = ask(address, *lines, body=body)
    assert head.startswith(f"HTTP/1.1 {answer.status} ")
    assert f"\r\nContent-Type: {errors.PROBLEM_JSON}" in head
    assert "\r\nCache-Control: no-store" in head
    assert "\r\nX-Content-Type-Options: nosniff" in head
    problem = json.loads(said)
    expected = errors.problem(answer, problem["detail"], problem["request_id"])
    assert problem == expected


def test_one_client_has_64_requests_under_way_and_others_do_not_notice(
    address: tuple[str, int],
) -> None:
    with ExitStack() as stack:
        stack.callback(Echo.free.set)
        for _ in range(64):
            held = socket.create_connection(address, timeout=60, source_address=(CLIENT, 0))
            stack.enter_context(held).sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(64):
            assert Echo.arrived.acquire(timeout=60)
        head, said = ask(address, "GET / HTTP/1.1", "Host: a")
        assert head.startswith("HTTP/1.1 429 ")
        assert "\r\nRetry-After: 1" in head
        assert json.loads(said)["code"] == errors.RATE_LIMITED.code
        head, _ = ask(address, "GET / HTTP/1.1", "Host: a", of="127.0.0.4")
        assert "\r\nRetry-After: 7" in head


def test_a_stream_is_handed_on_as_it_comes(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=60, source_address=("127.0.0.5", 0)) as stream:
        stream.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b""
        for number in (b"1", b"2"):
            # The next event is not sent before this one was received.
            while b"data: " + number not in received:
                part = stream.recv(65_536)
                assert part, received
                received += part
            Echo.heard.release()


def test_a_stream_may_be_silent_for_longer_than_between_two_heartbeats() -> None:
    template = (ROOT / "infra" / "nginx" / "mms-api.conf.template").read_text()
    location = template.partition("location ~ /stream$ {")[2].partition("    }\n\n")[0]
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", location)
    assert int(seconds) >= 2 * HEARTBEAT


def test_a_stream_whose_process_stops_goes_on_at_the_other_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mms.db'}"
    engine = open_engine(url)
    schema.migrate(engine)
    prices = SqlPriceStore(engine)

    def collect(at: int) -> int:
        return prices.add([SpotPrice(Coin("BTC", "bitcoin"), 1, "usd", at)], at)[0].id

    collect(1_796_000_000)
    program, port = nginx_program(), free_port()
    with (
        api(tmp_path, "first", DB_URL=url) as first,
        nginx(tmp_path, program, [first.port, port]) as address,
    ):
        proxy = urlsplit(address).port or 0
        with listening(proxy) as stream:
            begun = stream.next()
            assert begun is not None
            # Only now is there another one, so that the stream is certainly not there.
            with api(tmp_path, "second", "--port", str(port), DB_URL=url):
                assert first.stop() == 0
                assert stream.rest() == []
                number = collect(1_796_000_060)
                with listening(proxy, begun.id) as other:
                    other.next()
                    event = other.next()
                    assert event is not None
                    assert (event.name, event.data["id"]) == ("price", number)


def test_a_post_reaches_the_api_with_its_key_once_that_is_opened(tmp_path: Path) -> None:
    with before_the_echo(tmp_path, "key") as place:
        lines = ["Host: a", "Authorization: Bearer mms_key", "Content-Length: 0"]
        _, body = ask(place, "POST /collect-once/BTC HTTP/1.1", *lines)
        assert "Authorization: Bearer mms_key\n" in body
        assert ask(place, "DELETE / HTTP/1.1", "Host: a")[0].startswith("HTTP/1.1 403 ")
