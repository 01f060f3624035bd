"""The control endpoint: faults set, listed and removed while the stand-in serves.

`POST /_sandbox/faults` with one fault or a list of them, each as a text (`"status=503,times=3"`) or an
object (`{"kind": "status", "value": 503, "times": 3}`); `GET` lists what is set, `DELETE` removes all,
`DELETE /_sandbox/faults/7` one.
"""

from __future__ import annotations

import json
from typing import Any, Final

from app.core.errors import ConfigurationError
from app.sandbox import wire
from app.sandbox.faults import Fault, FaultBoard
from app.sandbox.wire import Reply

PREFIX: Final = "/_sandbox/"
LONGEST: Final = 100_000
"""Bytes that a request's body may have."""

_FAULTS: Final = f"{PREFIX}faults"


def control(board: FaultBoard, method: str, path: str, body: bytes) -> Reply:
    """Answer one request to the control endpoint."""
    if method == "DELETE":
        return _removed(board, path)
    if path != _FAULTS:
        return wire.ROUTE_NOT_FOUND
    if method == "GET":
        return _json(200, board.listed())
    if method != "POST":
        return wire.problem("SANDBOX|METHOD_NOT_ALLOWED", "GET, POST or DELETE faults", 405)
    try:
        ids = board.add(*_faults(body))
    except ConfigurationError as error:
        return wire.problem("SANDBOX|FAULT_IS_INVALID", str(error))
    return _json(201, [item for item in board.listed() if item["id"] in ids])


def _removed(board: FaultBoard, path: str) -> Reply:
    number = path.removeprefix(f"{_FAULTS}/")
    if path == _FAULTS:
        board.clear()
    elif not (number.isascii() and number.isdigit() and board.remove(int(number[:9]))):
        return wire.ROUTE_NOT_FOUND
    return Reply(204, b"")


def _faults(body: bytes) -> list[Fault]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    items = data if isinstance(data, list) else [data]
    if not items or not all(isinstance(item, str | dict) for item in items):
        raise ConfigurationError(
            'write one fault or a list of them as JSON, such as "status=503,times=3" or '
            '{"kind": "status", "value": 503, "times": 3}'
        )
    return [Fault.parse(item) if isinstance(item, str) else Fault.of(item) for item in items]


def _json(status: int, value: Any) -> Reply:
    return Reply(status, json.dumps(value, separators=(",", ":")).encode())
