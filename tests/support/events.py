"""A listener of GET /stream, over a socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from tests.support.processes import DEADLINE


@dataclass(frozen=True)
class Event:
    """One event; `name` is empty where there was an id alone."""

    name: str
    data: Any
    id: str


class Listener:
    """An open stream. It reads with a deadline, so a test that waits for nothing fails."""

    def __init__(self, reply: HTTPResponse) -> None:
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self._reply = reply

    def next(self) -> Event | None:
        """The next event; None where the stream has ended."""
        fields: dict[str, str] = {}
        while line := self._reply.readline():
            text = line.decode().rstrip("\n")
            if not text:
                data = fields.get("data")
                return Event(
                    fields.get("event", ""), data and json.loads(data), fields.get("id", "")
                )
            name, _, value = text.partition(": ")
            fields[name] = value
        return None

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted. It has to come."""
        while (event := self.next()) is not None:
            if wanted(event):
                return event
        raise AssertionError("The stream has ended.")

    def rest(self) -> list[Event]:
        """All events until the stream ends."""
        events = []
        while (event := self.next()) is not None:
            events.append(event)
        return events


@contextmanager
def listening(port: int, last: str | None = None, path: str = "/stream") -> Iterator[Listener]:
    """Listen at this port, after the event with this id, if any."""
    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    try:
        connection.request("GET", path, headers={} if last is None else {"Last-Event-ID": last})
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        yield Listener(reply)
    finally:
        connection.close()
