"""What can be made to go wrong at the stand-in: one class for each kind of fault.

The first line of a class's docstring is its help, its fields are its parameters (the one called `value`
stands right after the name), and it overrides one of `Fault`'s three ways to interfere: with the candles
of a reply, with the reply, or with how it is sent.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Context, Decimal
from email.utils import formatdate
from typing import Annotated, Any, ClassVar, Final, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.sandbox.book import Bar
from app.sandbox.wire import FIELDS, JSON, Outgoing, Raw, Reply

_SECONDS: Final = 3_600
_TICK: Final = Decimal("0.00000001")
_EXACT: Final = Context(prec=60)
_INDEXES: Final = 100_000  # a smaller number is a place in the reply, a larger one a time
_GATEWAYS: Final = (403, 502, 504)  # what stands in front of an API speaks HTML
_CODES: Final = {
    403: "PUBLIC_DATA|REQUEST|REQUEST_BLOCKED",
    429: "REQUEST_RATE_EXCEEDED",
    503: "API|SERVER|API_UNAVAILABLE",
}


def _factor(text: str) -> str:
    try:
        if Decimal("1e-9") <= _ratio(text) <= 10**9:
            return text
    except ArithmeticError:
        pass
    raise ValueError("write a factor such as 100, 0.5 or /100")


def _ratio(text: str) -> Decimal:
    number = Decimal(text.removeprefix("/"))
    return _EXACT.divide(Decimal(1), number) if text.startswith("/") else number


Factor = Annotated[str, AfterValidator(_factor)]
Line = Annotated[str, Field(pattern=r"^[ -~]*$")]
At = Literal["head", "body"]
Framing = Literal["length", "close"]


class Fault(BaseModel):
    """One fault: which requests it is for, and what it does to them.

    `path` is a text in a request's path and query, `after` how many such requests pass first, `times`
    how many it hits (else all), `seconds` for how long.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    name: ClassVar[str]
    on: ClassVar[str] = ""
    """A text in the paths of all requests that it can be about."""
    alone: ClassVar[bool] = True
    """Whether it spoils a whole reply: of those one acts at a time, the oldest."""

    path: str = ""
    after: int = Field(0, ge=0)
    times: int | None = Field(None, ge=1)
    seconds: float | None = Field(None, gt=0)

    def candles(self, bars: list[Bar]) -> Sequence[Bar]:
        """The candles of a reply as they are sent."""
        return bars

    def send(self, reply: Outgoing) -> None:
        """Send a reply; the caller then closes the connection. Raises OSError."""
        reply.connection.sendall(reply.opening() + reply.body)

    def __str__(self) -> str:
        given = self.model_dump(by_alias=True, exclude_defaults=True)
        texts = {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in given.items()}
        value = f"={texts.pop('value')}" if "value" in texts else ""
        return ",".join([f"{self.name}{value}", *(f"{k}={v}" for k, v in texts.items())])


class Status(Fault):
    """answer with this HTTP status (200, too) and body; retry-after=date+N is a date in N s."""

    name = "status"
    value: int = Field(ge=200, le=599)
    body: str | None = None
    retry_after: Line = Field("", alias="retry-after")
    location: Line = ""

    def reply(self, target: str, now: float) -> Reply:
        """What is answered: the usual error of the API that was asked, unless there is another body."""
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
    """What is done to single candles. The last one of a reply is mostly the running one, so by default
    the last but one is meant."""

    candle: str = Field("-2", pattern=r"^(all|-?[0-9]{1,12})$")

    def candles(self, bars: list[Bar]) -> Sequence[Bar]:
        """Change those that are meant: by place (one beyond the ends is the end), stamp, or all."""
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
        """What is sent in place of this one."""
        raise NotImplementedError


class Value(_Chosen):
    """put raw JSON in place of a field's value, such as null, NaN, 1e400, 0 or "x"."""

    name = "value"
    value: str
    field: Literal["timestamp", "open", "high", "low", "close", "volume"] = "close"

    def change(self, bar: Bar) -> Sequence[Bar]:
        changed: dict[str, Any] = {FIELDS[self.field]: Raw(self.value)}
        return [replace(bar, **changed)]


class Missing(_Chosen):
    """leave a candle out."""

    name = "missing"

    def change(self, bar: Bar) -> Sequence[Bar]:
        del bar
        return []


class Crossed(_Chosen):
    """put a candle's high below its low."""

    name = "crossed"

    def change(self, bar: Bar) -> Sequence[Bar]:
        return [replace(bar, high=bar.low, low=bar.high + _TICK)]


class Revise(_Chosen):
    """multiply a candle's close, or all its prices, as when a closed candle is corrected."""

    name = "revise"
    value: Factor = "1.01"
    prices: Literal["close", "all"] = "close"

    def change(self, bar: Bar) -> Sequence[Bar]:
        if self.prices == "all":
            return [_scaled(bar, _ratio(self.value))]
        close = _times(bar.close, _ratio(self.value))
        return [replace(bar, close=close, high=max(bar.high, close), low=min(bar.low, close))]


class Scale(_Candles):
    """multiply all prices of candles, or divide them by /N."""

    name = "scale"
    value: Factor

    def candles(self, bars: list[Bar]) -> Sequence[Bar]:
        return [_scaled(bar, _ratio(self.value)) for bar in bars]


def _scaled(bar: Bar, factor: Decimal) -> Bar:
    prices: dict[str, Any] = {
        name: _times(getattr(bar, name), factor) for name in ("open", "high", "low", "close")
    }
    return replace(bar, **prices)


def _times(price: Decimal, factor: Decimal) -> Decimal:
    """A price times a factor, on the exchange's tick and never below one."""
    return max(_EXACT.multiply(price, factor).quantize(_TICK, context=_EXACT), _TICK)


class Refuse(Fault):
    """close the connection without a word."""

    name = "refuse"

    def send(self, reply: Outgoing) -> None:
        pass


class Hang(Fault):
    """say nothing more for so many seconds, then close; at=body: from the middle of the body on."""

    name = "hang"
    value: float = Field(3600, ge=0, le=_SECONDS)
    at: At = "head"

    def send(self, reply: Outgoing) -> None:
        if self.at == "body":
            reply.connection.sendall(reply.opening() + reply.body[: len(reply.body) // 2])
        reply.waited(self.value)


class Trickle(Fault):
    """send a byte every so many seconds, from the first one on or from the body on."""

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
    """close in the middle of the body (after keep bytes), its length announced or not."""

    name = "cut"
    framing: Framing = "length"
    keep: int | None = Field(None, ge=0)

    def send(self, reply: Outgoing) -> None:
        kept = len(reply.body) // 2 if self.keep is None else self.keep
        opening = reply.opening() if self.framing == "length" else reply.head()
        reply.connection.sendall(opening + reply.body[:kept])


class Flood(Fault):
    """send so many megabytes: an endless body, or an endless header."""

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
    """send a small gzip body that holds so many megabytes."""

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


def described() -> list[str]:
    """One line for each kind: how it is written and what it does."""
    return [f"  {_usage(kind)}: {(kind.__doc__ or '').splitlines()[0]}" for kind in KINDS.values()]


def _usage(kind: type[Fault]) -> str:
    own = {k: f for k, f in kind.model_fields.items() if k not in Fault.model_fields}
    value = own.pop("value", None)
    shown = "" if value is None else "=VALUE" if value.is_required() else f"[={value.default}]"
    words = {
        field.alias
        or name: (
            "|".join(get_args(field.annotation))
            if get_origin(field.annotation) is Literal
            else "..."
        )
        for name, field in own.items()
    }
    return kind.name + shown + "".join(f"[,{name}={said}]" for name, said in words.items())
