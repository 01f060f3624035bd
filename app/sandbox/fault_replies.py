"""What faults make of a reply: another one in its place, or another body."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from email.utils import formatdate
from typing import Any, Final

from app.sandbox.fault_candles import places
from app.sandbox.fault_parameters import PRICES, Acts
from app.sandbox.faults import Fault
from app.sandbox.wire import JSON, Reply

HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"

_PAGE: Final = b"<!DOCTYPE html><html><head><title>Attention</title></head><body>%s</body></html>"
_GATEWAY: Final = (403, 502, 504)  # what stands in front of an API speaks HTML
_CODES: Final = {
    403: "PUBLIC_DATA|REQUEST|REQUEST_BLOCKED",
    429: "REQUEST_RATE_EXCEEDED",
    500: "API|SERVER|INTERNAL_SERVER_ERROR",
    503: "API|SERVER|API_UNAVAILABLE",
}
_COLUMNS: Final = {
    "timestamp": "t",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
}


class _Raw(str):
    """A piece of JSON as it is to be sent, right or wrong."""

    __slots__ = ()


def replaced(fault: Fault, subject: str, now: float) -> Reply:
    """The reply that the fault puts in place of the true one; `now` is the exchange's time."""
    if fault.kind.name == "status":
        return _with_status(fault, subject, now)
    if fault.kind.name == "redirect":
        status = int(fault.text("status"))
        return Reply(status, b"", TEXT, (("Location", fault.text()),))
    if fault.kind.name == "nested":
        depth = int(fault.number())
        return Reply(200, b"[" * depth + b"]" * depth)
    return _ANSWERS[fault.text()](subject)


def with_other_body(fault: Fault, reply: Reply) -> Reply:
    """The reply with the fault upon its body; one that is no good reply stays as it is."""
    try:
        data = json.loads(reply.body, parse_float=_Raw, parse_int=_Raw)
        if reply.status != 200 or not isinstance(data, dict):
            return reply
        _BODIES[fault.kind.name](fault, data)
        body = _written(data)
    except (ValueError, RecursionError):  # another fault has been at it
        return reply
    if fault.kind.name == "duplicate-key" and data:
        key = _written(next(iter(data)))
        body = f"{{{key}:null,{body[1:]}"
    return replace(reply, body=body.encode())


def _with_status(fault: Fault, subject: str, now: float) -> Reply:
    status, form = int(fault.number()), fault.text("body")
    if form == "auto":
        form = "html" if status in _GATEWAY else "json"
    kind, body = {
        "json": (JSON, _error(status, subject)),
        "html": (HTML, _PAGE % b"%d" % status),
        "text": (TEXT, b"Something went wrong"),
        "empty": (TEXT, b""),
    }[form]
    pause = fault.text("retry-after")
    if pause.startswith(("date+", "date-")) and pause[5:].isdigit():
        seconds = int(pause[5:])
        pause = formatdate(now + (seconds if pause[4] == "+" else -seconds), usegmt=True)
    return Reply(status, body, kind, (("Retry-After", pause),) if pause else ())


def _error(status: int, subject: str) -> bytes:
    words = "The sandbox was told to fail"
    body: dict[str, object] = {"code": _CODES.get(status, f"API|STATUS_{status}"), "message": words}
    if subject == PRICES:
        body = {"status": {"error_code": status, "error_message": words}}
    return _written(body).encode()


_ANSWERS: Final[Mapping[str, Callable[[str], Reply]]] = {
    "object": lambda _: Reply(200, b"{}"),
    "null": lambda _: Reply(200, b"null"),
    "list": lambda _: Reply(200, b"[]"),
    "number": lambda _: Reply(200, b"1"),
    "html": lambda _: Reply(200, _PAGE % b"Checking your browser", HTML),
    "error": lambda subject: Reply(200, _error(503 if subject != PRICES else 429, subject)),
    "text": lambda _: Reply(200, b"It works!", TEXT),
    "empty": lambda _: Reply(200, b""),
}


def _set_value(fault: Fault, data: Any) -> None:
    raw, name = _Raw(fault.text()), fault.text("field")
    if isinstance(data.get("candles"), list):
        rows = data["candles"]
        for place in places(fault, _stamps([row.get("timestamp") for row in rows])):
            rows[place][name or "close"] = raw
    elif isinstance(data.get("t"), list):
        column = data.setdefault(_COLUMNS.get(name or "close", name), [None] * len(data["t"]))
        for place in places(fault, _stamps(data["t"])):
            column[place] = raw
    else:
        coins = [coin for coin in data.values() if isinstance(coin, dict) and coin]
        for place in places(fault, range(len(coins))):
            coins[place][name or next(iter(coins[place]))] = raw


def _shorten(fault: Fault, data: Any) -> None:
    name = fault.text()
    if "candles" in data:
        for row in data["candles"][-1:]:
            row.pop(name, None)
    else:
        del data[_COLUMNS[name]][-1:]


def _add_fields(_fault: Fault, data: Any) -> None:
    inner = data["candles"] if "candles" in data else [] if "t" in data else data.values()
    for item in [data, *inner]:
        item |= {"s": "ok", "next": {"nested": ["anything", None]}}


def _nothing(_fault: Fault, _data: Any) -> None:
    pass


_BODIES: Final[Mapping[str, Callable[[Fault, Any], None]]] = {
    "value": _set_value,
    "columns": _shorten,
    "extra": _add_fields,
    "duplicate-key": _nothing,
}

HANDLED: Final = {
    Acts.REPLY: frozenset({"status", "redirect", "nested", "answer"}),
    Acts.BODY: frozenset(_BODIES),
}
"""The kinds that this module acts out."""


def _stamps(values: Sequence[Any]) -> list[int]:
    """The stamps of a reply; 0 for what is none, because another fault was there before."""
    return [int(value) if str(value).lstrip("-").isdigit() else 0 for value in values]


def _written(value: Any) -> str:
    """JSON text. By hand, because the standard encoder writes nothing that it does not understand."""
    if isinstance(value, _Raw):
        return str(value)
    if isinstance(value, dict):
        return f"{{{','.join(f'{_written(k)}:{_written(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return json.dumps(value)
