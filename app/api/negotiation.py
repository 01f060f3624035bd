"""Which format a client gets: by the parameter `format`, by the path, or by Accept.

Accept is read as RFC 9110 (12.5.1) says.
A client that says nothing about formats gets JSON. One that accepts none of those that there are is
told so: a program that asked for CSV must not be given JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from fastapi import Depends, Request

from app.core.errors import NotAcceptable
from app.domain.tables import Format

MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.CSV: "text/csv",
    Format.NDJSON: "application/x-ndjson",
    Format.COLUMNS: "application/vnd.mms.columns+json",
}
"""The media type of each format, in the order of preference between equals."""

SVG: Final = "image/svg+xml"

ANY: Final = tuple(Format)
JSON_ALONE: Final = (Format.JSON,)

_MOST: Final = 50
"""Media ranges of an Accept that are read, and parameters of one; browsers send fewer than ten. The
event loop reads them, and 32 kB of commas would hold it for 10 ms."""

_SHORT: Final = 200
"""Bytes of an Accept whose meaning is remembered: clients' libraries send shorter ones."""


def accepted(accept: bytes | None, formats: Sequence[Format] = ANY) -> Format | None:
    """The one of `formats` that a client with this Accept prefers; None if it accepts none.

    Without Accept, or with an empty list, every format is as good.
    """
    if accept is None or not accept.strip(b" \t,"):
        return formats[0]
    read = _accepted if len(accept) <= _SHORT else _accepted.__wrapped__
    return read(accept, tuple(formats))


@lru_cache(maxsize=256)
def _accepted(accept: bytes, formats: tuple[Format, ...]) -> Format | None:
    ranges = _ranges(accept.decode("latin-1"))
    weights = {each: _weight(MEDIA_TYPES[each], ranges) for each in formats}
    best = max(formats, key=lambda each: weights[each])
    return best if weights[best] > 0 else None


def _ranges(accept: str) -> dict[str, float]:
    """The weight of each media range; what cannot be read, or is too much, is left out."""
    ranges: dict[str, float] = {}
    for item in accept.lower().split(",", _MOST)[:_MOST]:
        name, *parameters = (part.strip() for part in item.split(";", _MOST)[:_MOST])
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                weight = _number(value.strip())
        ranges[name] = max(weight, ranges.get(name, 0.0))
    return ranges


def _weight(media_type: str, ranges: dict[str, float]) -> float:
    """The weight of the most specific range that covers the media type; 0 if none does."""
    whole = f"{media_type.partition('/')[0]}/*"
    return next((ranges[name] for name in (media_type, whole, "*/*") if name in ranges), 0.0)


def _number(text: str) -> float:
    """A weight, 0 to 1; 0 for what is none."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


def prefers_html(accept: Sequence[str]) -> bool:
    """Whether a client with these lines of Accept likes a page better than JSON, as browsers do."""
    ranges = _ranges(", ".join(accept))
    return _weight("text/html", ranges) > _weight(MEDIA_TYPES[Format.JSON], ranges)


def preferred_languages(lines: Sequence[str]) -> list[str]:
    """The language tags of these lines of Accept-Language (RFC 9110, 12.5.4), the best one first.

    They are in lower case. A tag with a weight of 0 is left out.
    """
    weights = _ranges(", ".join(lines))
    return sorted((tag for tag in weights if weights[tag] > 0), key=lambda tag: -weights[tag])


def format_of(request: Request, formats: Sequence[Format] = ANY) -> Format:
    """The format that the request's Accept asks for. Raises NotAcceptable, which lists `formats`.

    Several lines of Accept are one list (RFC 9110, 5.3).
    """
    lines = request.headers.getlist("accept")
    choice = accepted(", ".join(lines).encode("latin-1") if lines else None, formats)
    if choice is None:
        raise NotAcceptable(_refusal(formats))
    return choice


def _refusal(formats: Sequence[Format]) -> str:
    names = ", ".join(MEDIA_TYPES[each] for each in formats)
    if len(formats) == 1:
        return _only(names)
    return (
        f"Accept names no format of this reply: use one of {names}, or */*. The parameter format "
        f"({', '.join(each.value for each in formats)}) chooses without Accept."
    )


def _only(name: str) -> str:
    return f"Accept names no format of this reply, which is always {name}: ask for that, or */*."


async def _json(request: Request) -> None:
    format_of(request, JSON_ALONE)


async def _picture(request: Request) -> None:
    require(SVG, request)


async def _events(request: Request) -> None:
    require("text/event-stream", request)


def require(media_type: str, request: Request, other: str = "") -> None:
    """Raise NotAcceptable for a client that does not accept the type, which is the only one.

    `other` is one that it would have got, had it preferred that.
    """
    lines = ", ".join(request.headers.getlist("accept"))
    if lines.strip(" \t,") and _weight(media_type, _ranges(lines)) <= 0:
        if other:
            raise NotAcceptable(
                f"Accept names no format of this reply: use {media_type}, {other} or */*."
            )
        raise NotAcceptable(_only(media_type))


JsonOnly: Final = Depends(_json)
"""Of a route whose reply is always JSON: refuses a client that does not accept it."""

PictureOnly: Final = Depends(_picture)
"""The same of a picture."""

EventsOnly: Final = Depends(_events)
"""The same of a stream of events."""
