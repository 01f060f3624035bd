"""API keys of a running service: changed without a restart, and never taken from a trailer."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

from app.core.api_keys import COLLECT, READ, ApiKey, digest_of, new_key
from tests.support.patience import until
from tests.support.processes import DEADLINE
from tests.support.served import api

LAST_DAY = (datetime.now(UTC) + timedelta(days=400)).date()


def made(name: str, *scopes: str) -> tuple[str, str]:
    """A new key, and its entry."""
    text = new_key()
    return text, str(ApiKey(name, frozenset(scopes), LAST_DAY, digest_of(text.encode())))


def status(connection: HTTPConnection, key: str) -> int:
    connection.request("GET", "/pairs", headers={"Authorization": f"Bearer {key}"})
    reply = connection.getresponse()
    reply.read()
    return reply.status


def test_keys_are_changed_while_readers_go_on(tmp_path: Path) -> None:
    """The old key is removed after the readers have the new one: none of their reads fails."""
    file = tmp_path / "keys"
    old, old_entry = made("old", READ)
    new, new_entry = made("new", READ)
    steady, steady_entry = made("steady", READ)
    file.write_text(f"{old_entry}\n{steady_entry}\n")
    statuses: list[int] = []
    finished = threading.Event()
    settings = {"READ_ACCESS": "key", "API_KEYS_FILE": str(file)}
    with api(tmp_path, "api", **settings) as server, closing(server.connect()) as connection:

        def read() -> None:
            with closing(server.connect()) as own:
                while not finished.is_set():
                    statuses.append(status(own, steady))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert (status(connection, old), status(connection, new)) == (200, 401)
            file.write_text(f"{old_entry}\n{new_entry}\n{steady_entry}\n")
            until(lambda: status(connection, new) == 200)
            assert status(connection, old) == 200
            file.write_text(f"{new_entry}\n{steady_entry}\n")
            until(lambda: status(connection, old) == 401)
            assert status(connection, new) == 200
        finally:
            finished.set()
            reader.join(DEADLINE)
        assert [line["keys"] for line in server.log("api_keys_read")] == [
            ["old", "new", "steady"],
            ["new", "steady"],
        ]
        assert server.stop() == 0
    assert set(statuses) == {200}


def test_a_key_in_a_trailer_opens_nothing(tmp_path: Path) -> None:
    key, entry = made("ops", COLLECT)
    with (
        api(tmp_path, "api", API_KEYS=entry) as server,
        socket.create_connection(("127.0.0.1", server.port), DEADLINE) as connection,
    ):
        connection.sendall(
            b"POST /collect-once/BTC HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            b"Trailer: Authorization\r\nConnection: close\r\n\r\n"
            b"1\r\nx\r\n0\r\nAuthorization: Bearer " + key.encode() + b"\r\n\r\n"
        )
        reply = b""
        while part := connection.recv(65_536):
            reply += part
    assert reply.startswith(b"HTTP/1.1 401 ")
