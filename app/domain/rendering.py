"""Render averages and objects as the JSON bytes of a reply, without a model or a float per row.

A whole body ends with a line feed: a terminal's prompt then stands on a line of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from app.core.market import Exact
from app.core.prices import StoredPrice
from app.domain.fixed_point import text


def averages(rows: Iterable[tuple[int, int]]) -> bytes:
    """Render (bucket in unix seconds, average in 1e-8) pairs as a JSON array, in their order."""
    return f"[{','.join(average_row(*row) for row in rows)}]\n".encode("ascii")


def average_row(bucket: int, value: int) -> str:
    """Render one average (in 1e-8) of one bucket as a JSON object."""
    return f'{{"timestamp":{bucket},"mms":{text(value)}}}'


class Rendered(str):
    """A JSON value, as it stands in the reply."""

    __slots__ = ()


Flat = Mapping[str, str | int | bool | Rendered | None]
"""The members of an object, by names that are plain ASCII."""


def decimal(value: Exact | None) -> Rendered | None:
    """Convert a number to an exact JSON number; None stays None."""
    return None if value is None else Rendered(text(value))


def flat(members: Flat) -> bytes:
    """Render a JSON object, in the order of its members."""
    return nested(members).encode()


def nested(members: Flat) -> Rendered:
    """Render a JSON object that is a member of another one."""
    parts = [f'"{key}":{_value(value)}' for key, value in members.items()]
    return Rendered(f"{{{','.join(parts)}}}")


def texts(values: Iterable[str]) -> Rendered:
    """Render texts as a JSON array that is a member of an object."""
    return Rendered(f"[{','.join(map(json.dumps, values))}]")


def _value(value: str | int | bool | Rendered | None) -> str:
    if isinstance(value, Rendered):
        return value
    # `json.dumps` makes an encoder for each number, and most values are numbers.
    return str(value) if type(value) is int else json.dumps(value)


def price(stored: StoredPrice, *, stale: bool) -> bytes:
    """Render a collected price as a JSON object."""
    return flat(
        {
            "id": stored.id,
            "symbol": stored.symbol,
            "price": decimal(stored.price),
            "currency": stored.currency,
            "timestamp": stored.collected_at,
            "priced_at": stored.priced_at,
            "stale": stale,
        }
    )
