"""The faults of the stand-in exchange: one class for each kind.

The first line of a class's docstring is its help. Its fields are its parameters; `value` is the one
right after the name. A class changes one thing: a reply's candles, the reply, or how it is sent.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Context, Decimal
from email.utils import formatdate
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.sandbox.book import Bar, Raw
from app.sandbox.wire import FIELDS, JSON, Outgoing, Reply

_SECONDS: Final = 3_600
_TICK: Final = Decimal("0.00000001")
_EXACT: Final = Context(prec=60)
_INDEXES: Final = 100_000  # a smaller number is a place in the reply, a larger one a time
_GATEWAYS: Final = (403, 502, 504)  # a gateway in front of an API answers in HTML
_CODES: Final = {
    403: "PUBLIC_DATA|REQUEST|REQUEST_BLOCKED",
    429: "REQUEST_RATE_EXCEEDED",
    503: "API|SERVER|API_UNAVAILABLE",
}

Factor = Annotated[Decimal, Field(gt=0, le=10**9)]
At = Literal["head", "body"]
Framing = Literal["length", "close"]


class Fault(BaseModel):
    """One fault: which requests it hits, and how.

    It is for requests with the text `path` in their path and query. The first `after` of them pass,
    the next `times` are hit (default: all).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    on: ClassVar[str] = ""
    """The text in the path of every request that this kind can hit."""
    alone: ClassVar[bool] = True
    """Whether it spoils a whole reply. Of several such faults only the oldest acts."""

    path: str = ""
    after: int = Field(0, ge=0)
    times: int | None = Field(None, ge=1)

    def candles(self, bars: list[Bar]) -> Sequence[Bar]:
        """The candles of a reply as they are sent."""
        return bars

    def send(self, reply: Outgoing) -> None:
        """Send a reply; the caller then closes the connection. Raises OSError."""
        reply.connection.sendall(reply.opening() + reply.body)


class Status(Fault):
    """status=CODE[,body=TEXT][,retry-after=N|date+N][,location=URL]: answer so; date+N: in N s."""

    name = "status"
    value: int = Field(ge=200, le=599)
    body: str | None = None
    retry_after: str = ""
    location: str = ""

    def reply(self, target: str, now: float) -> Reply:
        """The reply: `body`, or the usual error of the API at `target`."""
        body = _error(self.value, target) if self.body is None else self.body
        pause = self.retry_after
        if pause.startswith("date+") and pause[5:].isdigit():
            pause = formatdate(now + int(pause[5:]), usegmt=True)
        headers = {"Retry-After": pause, "Location": self.location}
        return Reply(
            self.value,
            body.encode(),
            "text/html; charset=utf-8" if body.startswith("<") else JSON,
            tuple((name, text) for name, text in headers.items() if text),
        )


def _error(status: int, target: str) -> str:
    words = "The sandbox was told to fail"
    if status in _GATEWAYS:
        return f"<!DOCTYPE html><title>{words}</title>"
    if "/simple/price" in target:
        return json.dumps({"status": {"error_code": status, "error_message": words}})
    return json.dumps({"code": _CODES.get(status, f"API|STATUS_{status}"), "message": words})


class _Candles(Fault):
    on = "/candle"
    alone = False


class _Chosen(_Candles):
    """A fault of single candles.

    The default is the last but one, because the last candle of a reply is usually still running.
    """

    candle: str = Field("-2", pattern=r"^(all|-?[0-9]{1,12})$")

    def candles(self, bars: list[Bar]) -> Sequence[Bar]:
        """Change the chosen candles: by place (beyond an end: the end), by stamp, or all."""
        at = None if self.candle == "all" else int(self.candle)
        place = at
        if at is not None and abs(at) < _INDEXES:
            place = min(max(at + len(bars) if at < 0 else at, 0), len(bars) - 1)
        return [
            changed
            for number, bar in enumerate(bars)
            for changed in ([bar] if place not in (None, number, bar.stamp) else self.change(bar))
        ]

    def change(self, bar: Bar) -> Sequence[Bar]:
        """The candles that are sent in place of this one."""
        raise NotImplementedError


class Value(_Chosen):
    """value=JSON[,field=close|timestamp|...]: send raw text for a number: null, NaN, 1e400, "x"."""

    name = "value"
    value: str
    field: Literal["timestamp", "open", "high", "low", "close", "volume"] = "close"

    def change(self, bar: Bar) -> Sequence[Bar]:
        changed: dict[str, Any] = {FIELDS[self.field]: Raw(self.value)}
        return [replace(bar, **changed)]


class Missing(_Chosen):
    """missing: leave a candle out."""

    name = "missing"

    def change(self, bar: Bar) -> Sequence[Bar]:
        del bar
        return []


class Crossed(_Chosen):
    """crossed: put a candle's high below its low."""

    name = "crossed"

    def change(self, bar: Bar) -> Sequence[Bar]:
        return [replace(bar, high=bar.low, low=bar.high + _TICK)]


class Revise(_Chosen):
    """revise=FACTOR: multiply a candle's close, as when a closed candle is corrected."""

    name = "revise"
    value: Factor

    def change(self, bar: Bar) -> Sequence[Bar]:
        close = _times(bar.close, self.value)
        return [replace(bar, close=close, high=max(bar.high, close), low=min(bar.low, close))]


class Scale(_Candles):
    """scale=FACTOR: multiply all prices of all candles."""

    name = "scale"
    value: Factor

    def candles(self, bars: list[Bar]) -> Sequence[Bar]:
        return [self._scaled(bar) for bar in bars]

    def _scaled(self, bar: Bar) -> Bar:
        prices = (_times(p, self.value) for p in (bar.open, bar.high, bar.low, bar.close))
        return Bar(bar.stamp, *prices, bar.volume)  # type: ignore[call-arg] # mypy counts no star


def _times(price: Decimal, factor: Decimal) -> Decimal:
    """A price times a factor, on the exchange's tick and never below one."""
    return max(_EXACT.multiply(price, factor).quantize(_TICK, context=_EXACT), _TICK)


class Refuse(Fault):
    """refuse: close the connection without a reply."""

    name = "refuse"

    def send(self, reply: Outgoing) -> None:
        pass


class Hang(Fault):
    """hang[=SECONDS][,at=head|body]: fall silent, then close; at=body: in the middle of it."""

    name = "hang"
    value: float = Field(3600, ge=0, le=_SECONDS)
    at: At = "head"

    def send(self, reply: Outgoing) -> None:
        if self.at == "body":
            reply.connection.sendall(reply.opening() + reply.body[: len(reply.body) // 2])
        reply.waited(self.value)


class Trickle(Fault):
    """trickle[=SECONDS][,at=head|body]: send byte by byte, from the head or the body on."""

    name = "trickle"
    value: float = Field(1, gt=0, le=_SECONDS)
    at: At = "head"

    def send(self, reply: Outgoing) -> None:
        opening = reply.opening()
        sent = len(opening) if self.at == "body" else 0
        reply.connection.sendall(opening[:sent])
        for byte in (opening + reply.body)[sent:]:
            reply.connection.sendall(bytes([byte]))
            if not reply.waited(self.value):
                return


class Cut(Fault):
    """cut[,framing=length|close]: close in the middle of the body, its length announced or not."""

    name = "cut"
    framing: Framing = "length"

    def send(self, reply: Outgoing) -> None:
        opening = reply.opening() if self.framing == "length" else reply.head()
        reply.connection.sendall(opening + reply.body[: len(reply.body) // 2])


class Flood(Fault):
    """flood[=MEGABYTES][,at=head|body][,framing=length|close]: send a header or body so long."""

    name = "flood"
    value: int = Field(1000, ge=1, le=1_000_000)
    at: At = "body"
    framing: Framing = "length"

    def send(self, reply: Outgoing) -> None:
        piece = b"1711584000," * 90_000
        length = self.value * len(piece)
        if self.at == "head":
            reply.connection.sendall(reply.opening()[:-2] + b"X-Flood: ")
        else:
            framing = [("Content-Length", str(length))] if self.framing == "length" else []
            reply.connection.sendall(reply.head(*framing) + b'{"t":[')
        for _ in range(self.value):
            reply.connection.sendall(piece)


class GzipBomb(Fault):
    """gzip-bomb[=MEGABYTES]: send a small gzip body that holds so much."""

    name = "gzip-bomb"
    value: int = Field(1000, ge=1, le=1_000_000)

    def send(self, reply: Outgoing) -> None:
        packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
        reply.connection.sendall(reply.head(("Content-Encoding", "gzip")))
        for _ in range(self.value):
            reply.connection.sendall(packer.compress(b" " * 1_000_000))
        reply.connection.sendall(packer.flush())


KINDS: Final[Mapping[str, type[Fault]]] = {
    kind.name: kind
    for kind in (
        *(Status, Value, Missing, Crossed, Revise, Scale),
        *(Refuse, Hang, Trickle, Cut, Flood, GzipBomb),
    )
}
"""Every kind by its name."""
