"""The smoke test passes a service that is right, and names what is wrong with one that is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.deploy.errors import CannotStart, Failed
from infra.deploy.model import Pace
from infra.deploy.smoke import Reply, asker, check_service
from tests.support.ecs import Clock

DAY = 86_400
CLOSES = [Decimal("100.00000001") + n for n in range(30)]
HEADERS = {
    "etag": '"one"',
    "x-data-as-of": "2026-10-30T00:00:00Z",
    "x-data-stale": "false",
    "x-data-missing": "0",
}


def averages() -> list[dict[str, Any]]:
    """The 20-day averages of CLOSES, exact."""
    return [
        {"timestamp": (n + 1) * DAY, "mms": str(sum(CLOSES[n - 19 : n + 1]) / 20)}
        for n in range(19, 30)
    ]


class Service:
    """A service whose replies a test may spoil."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers = dict(HEADERS)
        self.rows: Any = averages()
        self.statuses: dict[str, list[int]] = {}
        self.pairs: Any = [{"pair": "BRLBTC", "interval": "1d", "as_of": "2026-10-30T00:00:00Z"}]
        self.repeated = 304

    def __call__(self, path: str, headers: Mapping[str, str]) -> Reply:
        self.asked.append(path)
        name = path.partition("?")[0]
        waiting = self.statuses.get(name, [])
        if waiting:
            status = waiting.pop(0)
            if status == 0:
                raise ConnectionRefusedError("refused")
            return Reply(status, {}, b'{"detail": "no"}')
        if "If-None-Match" in headers:
            return Reply(self.repeated, self.headers, b"")
        return Reply(200, self.headers, self._body(name))

    def _body(self, name: str) -> bytes:
        candles = [{"timestamp": (n + 1) * DAY, "close": str(c)} for n, c in enumerate(CLOSES)]
        replies: dict[str, Any] = {
            "/readyz": {"status": "ready", "data": "present", "cache": "ok"},
            "/openapi.json": {"info": {"version": "0.1.0"}},
            "/pairs": {"pairs": self.pairs},
            "/BRLBTC/mms": self.rows,
            "/BRLBTC/candles": candles,
        }
        return json.dumps(replies[name]).encode()


def check(service: Service) -> list[str]:
    clock, said = Clock(), list[str]()
    check_service(service, Pace(clock.now, clock.sleep), said.append)
    return said


def test_a_service_that_is_right_passes_and_is_described() -> None:
    said = check(Service())
    assert said == [
        "GET /readyz 200: present data, cache ok; 0.1.0",
        "GET /BRLBTC/mms?range=20&interval=1d 200: 11 rows, 0 missing, stale false, newest recomputed",
    ]


def test_a_service_without_data_passes_and_says_so() -> None:
    service = Service()
    service.rows = []
    service.pairs = [{"pair": "BRLBTC", "interval": "1d", "as_of": None}]
    del service.headers["x-data-as-of"]
    assert "nothing is stored yet" in check(service)[-1]


def test_only_readiness_is_waited_for() -> None:
    service = Service()
    service.statuses = {"/readyz": [503, 0, 503]}
    assert len(check(service)) == 2
    service.statuses = {"/pairs": [503]}
    with pytest.raises(Failed, match="GET /pairs: status 503"):
        check(service)


def test_a_service_that_never_gets_ready_fails() -> None:
    service = Service()
    service.statuses = {"/readyz": [503] * 1_000}
    with pytest.raises(Failed, match="GET /readyz: status 503"):
        check(service)


def wrong_average(service: Service) -> None:
    service.rows[-1]["mms"] = "119.50000002"


def out_of_order(service: Service) -> None:
    service.rows.reverse()


def rows_from_nowhere(service: Service) -> None:
    service.pairs[0]["as_of"] = None


def no_list(service: Service) -> None:
    service.rows = {"rows": []}


def no_pairs(service: Service) -> None:
    service.pairs = []


def not_repeatable(service: Service) -> None:
    service.repeated = 200


def another_form(service: Service) -> None:
    service.rows[-1] = {"at": 1}


SPOILT: list[tuple[Callable[[Service], None], str]] = [
    (wrong_average, "should be 119.50000001, and 119.50000002 is published"),
    (out_of_order, "do not ascend"),
    (rows_from_nowhere, "nothing is stored, and yet"),
    (no_list, "no list"),
    (no_pairs, "names no pair"),
    (not_repeatable, "gives 200, not 304"),
    (another_form, "not of its form"),
]


@pytest.mark.parametrize(("spoil", "says"), SPOILT)
def test_what_is_wrong_is_named(spoil: Callable[[Service], None], says: str) -> None:
    service = Service()
    spoil(service)
    with pytest.raises(Failed, match=says):
        check(service)


@pytest.mark.parametrize("name", ["etag", "x-data-stale", "x-data-missing", "x-data-as-of"])
def test_each_header_is_looked_for(name: str) -> None:
    service = Service()
    del service.headers[name]
    with pytest.raises(Failed, match=f"the header {name} is missing"):
        check(service)


@pytest.fixture
def url() -> Iterator[str]:
    """A server that redirects, refuses or answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = {"/moved": 301, "/refused": 503}.get(self.path, 200)
            self.send_response(status)
            self.send_header("X-Data-Stale", "true")
            self.send_header("Content-Length", "2")
            if status == 301:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@pytest.mark.parametrize(("path", "status"), [("/x", 200), ("/moved", 301), ("/refused", 503)])
def test_every_status_is_a_reply_and_redirects_are_not_followed(
    url: str, path: str, status: int
) -> None:
    reply = asker(url)(path, {})
    assert (reply.status, reply.headers["x-data-stale"], reply.body) == (status, "true", b"{}")


def test_an_address_that_is_none_cannot_be_asked() -> None:
    with pytest.raises(CannotStart, match="no address of a service"):
        asker("file:///etc/passwd")
