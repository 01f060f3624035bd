"""The smoke test passes a service that is right, and names what is wrong with one that is not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from infra.deploy.errors import CannotStart, Failed
from infra.deploy.model import Pace
from infra.deploy.smoke import Reply, asker, check_service
from tests.support.answering import answering
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
            "/pairs": {"pairs": self.pairs},
            "/BRLBTC/mms": self.rows,
            "/BRLBTC/candles": candles,
        }
        return json.dumps(replies[name]).encode()


def check(service: Service) -> list[str]:
    clock, said = Clock(), list[str]()
    check_service(service, Pace(clock.now, clock.sleep), said.append)
    return said


def test_a_service_without_data_passes_and_says_so() -> None:
    service = Service()
    service.rows = []
    service.pairs = [{"pair": "BRLBTC", "interval": "1d", "as_of": None}]
    del service.headers["x-data-as-of"]
    assert "nothing is stored yet" in check(service)[-1]


def test_readiness_is_waited_for_and_nothing_else() -> None:
    service = Service()
    service.statuses = {"/readyz": [503, 0, 503]}
    ready, series = check(service)
    assert "present data" in ready
    assert "11 rows" in series
    for path, statuses in (("/pairs", [503]), ("/readyz", [503] * 1_000)):
        service.statuses = {path: statuses}
        with pytest.raises(Failed, match=f"{path}: status 503"):
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


def without(name: str) -> Callable[[Service], None]:
    return lambda service: service.headers.__delitem__(name)


SPOILT: list[tuple[Callable[[Service], None], str]] = [
    (wrong_average, r"119\.50000001.*119\.50000002"),
    (out_of_order, "ascend"),
    (rows_from_nowhere, "nothing is stored"),
    (no_list, "no list"),
    (no_pairs, "no pair"),
    (not_repeatable, "200, not 304"),
    (another_form, "form"),
    *((without(name), name) for name in HEADERS),
]


@pytest.mark.parametrize(("spoil", "says"), SPOILT)
def test_what_is_wrong_is_named(spoil: Callable[[Service], None], says: str) -> None:
    service = Service()
    spoil(service)
    with pytest.raises(Failed, match=says):
        check(service)


def test_every_status_is_a_reply_and_redirects_are_not_followed() -> None:
    statuses = {"/x": 200, "/moved": 301, "/refused": 503}
    headers = {"X-Data-Stale": "true", "Location": "/elsewhere"}
    with answering(lambda path: (statuses[path], headers, b"{}")) as port:
        for path, status in statuses.items():
            reply = asker(f"http://127.0.0.1:{port}/")(path, {})
            assert (reply.status, reply.headers["x-data-stale"]) == (status, "true")
            assert reply.body == b"{}"
    with pytest.raises(CannotStart, match="no address"):
        asker("file:///etc/passwd")


def test_a_key_goes_with_each_request_and_never_over_plain_http_to_another_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> bytes:
            connection, _ = listener.accept()
            with connection:
                head = connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return head

        with ThreadPoolExecutor() as pool:
            head = pool.submit(answer)
            ask = asker(f"http://127.0.0.1:{listener.getsockname()[1]}", "mms_key")
            assert ask("/pairs", {"If-None-Match": '"one"'}).status == 200
            lines = head.result(60).split(b"\r\n")
    assert b"Authorization: Bearer mms_key" in lines
    assert b'If-None-Match: "one"' in lines
    with pytest.raises(CannotStart, match="DEPLOY_KEY") as refused:
        asker("http://api.example.com", "mms_key")
    assert "mms_key" not in str(refused.value)
