"""JSON as RFC 8259 means it, read so that no number ever passes through a binary float.

Python's own reader accepts `NaN`, `Infinity` and repeated keys, and turns `353446.62655678` into a
float; from an exchange, the first three are nonsense and the last would cost the price its digits.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final, NoReturn

_LONGEST_NUMBER: Final = 100
"""Characters. The longest number that any reply we know holds has 19."""

_MOST_CONTAINERS: Final = 120_000
"""Lists and objects. They take up to 90 bytes for each of their own, and a page of candles has 501."""


class DecimalText(str):
    """A JSON number with a fraction or an exponent, as the characters that were sent."""

    __slots__ = ()


class JsonRefused(ValueError):
    """The text is JSON, more or less, but holds something that cannot be trusted."""


class JsonBroken(JsonRefused):
    """The text is not a JSON document; one that was cut off in transfer ends up here as well."""


def loads(body: bytes) -> Any:
    """Parse one JSON document in UTF-8.

    Whole numbers become `int`, all other numbers DecimalText. Raises JsonBroken for what is no
    JSON, and JsonRefused for NaN and infinities, a key given twice, numbers of more than 100
    characters, more than 120,000 lists and objects, and nesting that exhausts the stack.
    """
    # Brackets in texts count as well: no reply that is of use here has so many of either.
    if body.count(b"[") + body.count(b"{") > _MOST_CONTAINERS:
        raise JsonRefused(f"it holds more than {_MOST_CONTAINERS} brackets")
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise JsonBroken(f"it is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise JsonBroken(f"it is not JSON at character {error.pos}: {error.msg}") from error
    except RecursionError as error:
        raise JsonRefused("it is nested too deeply") from error


def _decimal(text: str) -> DecimalText:
    _refuse_long(text)
    return DecimalText(text)


def _integer(text: str) -> int:
    _refuse_long(text)
    return int(text)


def _refuse_long(text: str) -> None:
    if len(text) > _LONGEST_NUMBER:
        raise JsonRefused(f"it holds a number of {len(text)} characters, {text[:20]}…")


def _refuse_constant(name: str) -> NoReturn:
    raise JsonRefused(f"it holds {name}, which is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
        raise JsonRefused(f"an object holds the key {twice[:40]!r} twice")
    return result
