"""Bytes over a socket that no HTTP library would send, and strict reading of what comes back."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

HOST: Final = b"Host: localhost"
GET: Final = b"GET /healthz HTTP/1.1"
POST: Final = b"POST /pairs HTTP/1.1"

_PROBE_ID: Final = "probe"
_PROBE: Final = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: probe\r\nConnection: close\r\n\r\n"
)
_PAUSE: Final = 0.05
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [^\r\n\x00]*")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\x00]*?)[ \t]*")
_BODILESS: Final = {100, 101, 204, 304}


def request(*lines: bytes, body: bytes = b"") -> bytes:
    """A head of these lines, and a body."""
    return b"\r\n".join([*lines, b"", b""]) + body


def get(*headers: bytes, body: bytes = b"") -> bytes:
    """GET /healthz with the right Host."""
    return request(GET, HOST, *headers, body=body)


def post(*headers: bytes, body: bytes = b"") -> bytes:
    """POST /pairs, which is not allowed there, with the right Host."""
    return request(POST, HOST, *headers, body=body)


@dataclass(frozen=True)
class Case:
    """What is sent, in parts with a pause between, and what may come back.

    `expected` has the replies' statuses in order, then `close` where the connection ends. `h200` is
    a reply without its body, `400|405` is either, and ` or ` stands between whole alternatives.
    `ends` is a client that ends its side after the last byte.
    """

    subject: str
    name: str
    parts: tuple[bytes, ...]
    expected: str
    ends: bool = False


@dataclass(frozen=True)
class Reply:
    """A reply; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Outcome:
    """What came back: whole replies, whether the connection ended, and bytes that are no reply."""

    replies: list[Reply] = field(default_factory=list)
    closed: bool = False
    rest: bytes = b""

    def __str__(self) -> str:
        words = [str(reply.status) for reply in self.replies]
        words += ["nonsense"] * bool(self.rest) + ["close"] * self.closed
        return " ".join(words) or "nothing"


def exchange(port: int, case: Case, patience: float) -> Outcome:
    """Send the case, and read until the connection ends or nothing comes for `patience` seconds.

    Where an expected outcome keeps the connection, one more request asks for its end: its own reply
    is no part of the outcome, and no reply to it means that the connection had ended.
    """
    alternatives = [each.split() for each in case.expected.split(" or ")]
    bodiless = [word.startswith("h") for word in alternatives[0]]
    received = b""
    probed = False
    outcome = Outcome()
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
        with suppress(OSError):  # the server may end the connection before it has read all
            for number, part in enumerate(case.parts):
                time.sleep(_PAUSE if number else 0)
                connection.sendall(part)
            if case.ends:
                connection.shutdown(socket.SHUT_WR)
        while True:
            try:
                part = connection.recv(65_536)
            except TimeoutError:
                break
            except OSError:
                part = b""
            if not part:
                outcome.closed = True
                break
            received += part
            outcome = replies(received, bodiless)
            kept = any(_matches(outcome, each) for each in alternatives if each[-1] != "close")
            if kept and not outcome.rest and not probed and not case.ends:
                probed = True
                with suppress(OSError):
                    connection.sendall(_PROBE)
    if probed and outcome.replies[-1].headers.get("x-request-id") == _PROBE_ID:
        del outcome.replies[-1]
        outcome.closed = False
    return outcome


def exchanges(port: int, cases: Iterable[Case], patience: float) -> list[tuple[Case, Outcome]]:
    """The outcome of each case, several at a time."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda case: (case, exchange(port, case, patience)), cases))


def problems(case: Case, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome, in words."""
    wrong = []
    alternatives = [each.split() for each in case.expected.split(" or ")]
    if not any(
        _matches(outcome, each) and outcome.closed == (each[-1] == "close") for each in alternatives
    ):
        wrong.append(f"expected {case.expected}; came {outcome}")
    if outcome.rest:
        wrong.append(f"came no whole reply: {outcome.rest[:80]!r}")
    for reply in outcome.replies:
        if reply.status >= 400:
            wrong += _no_problem(reply)
    if outcome.closed and outcome.replies and not case.ends:
        last = outcome.replies[-1].headers
        if last.get("connection", "").lower() != "close":
            wrong.append("the connection ended, and the last reply did not say so")
    return wrong


def replies(received: bytes, bodiless: Sequence[bool] = ()) -> Outcome:
    """The replies in these bytes, strictly read; what is none, or not yet whole, is the rest.

    `bodiless` says by position which are replies to HEAD.
    """
    outcome = Outcome(rest=received)
    while outcome.rest:
        head, end, after = outcome.rest.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status_line = _STATUS_LINE.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        if not end or status_line is None or not all(fields):
            return outcome
        pairs = [(each[1].decode().lower(), each[2].decode("latin-1")) for each in fields if each]
        headers = dict(pairs)
        if len(headers) < len(pairs) or "transfer-encoding" in headers:
            return outcome  # no reply of the service has a header twice, or is chunked
        status = int(status_line[1])
        number = len(outcome.replies)
        without = status in _BODILESS or (number < len(bodiless) and bodiless[number])
        length = 0 if without else int(headers.get("content-length", "-1"))
        if not 0 <= length <= len(after):
            return outcome
        outcome.replies.append(Reply(status, headers, after[:length]))
        outcome.rest = after[length:]
    return outcome


def _matches(outcome: Outcome, words: Sequence[str]) -> bool:
    """Whether the statuses are these."""
    statuses = [word.lstrip("h").split("|") for word in words if word != "close"]
    came = [str(reply.status) for reply in outcome.replies]
    return len(came) == len(statuses) and all(
        status in allowed for status, allowed in zip(came, statuses, strict=True)
    )


def _no_problem(reply: Reply) -> list[str]:
    """What an error reply lacks of RFC 9457, and of our own members."""
    wrong = []
    if reply.status >= 500:
        wrong.append(f"a server error: {reply.status}")
    if reply.headers.get("content-type") != "application/problem+json":
        wrong.append("an error is no problem+json")
    elif reply.body:
        body = json.loads(reply.body)
        if body["status"] != reply.status:
            wrong.append("the problem names another status")
        if not body["request_id"] or body["request_id"] != reply.headers.get("x-request-id"):
            wrong.append("the problem and the reply have different request ids")
    return wrong
