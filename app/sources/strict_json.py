"""JSON as RFC 8259 means it, read so that no number ever passes through a binary float.

Python's own reader accepts `NaN`, `Infinity` and repeated keys, and turns `353446.62655678` into a
float; from an exchange, the first three are nonsense and the last would cost the price its digits.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import accumulate
from typing import Any, Final, NoReturn

_LONGEST_NUMBER: Final = 100
"""Characters. The longest number that any reply we know holds has 19."""

_MOST_BRACKETS: Final = 240_000
"""Two for each list and object. These take up to 90 bytes of their own, and a page of candles has 501."""

_DEEPEST: Final = 64
"""Lists and objects within each other; the replies we know have three. Python's own limit depends on its
version, and on how deep its stack is at that moment."""

_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - _STEPS.keys())


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
    characters, more than 120,000 lists and objects, and more than 64 of them within each other.
    """
    # Brackets in texts count as well: no reply that is of use here has so many of either.
    brackets = body.translate(None, _NO_BRACKETS)
    if len(brackets) > _MOST_BRACKETS:
        raise JsonRefused(f"it holds more than {_MOST_BRACKETS} brackets")
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > _DEEPEST:
        raise JsonRefused("it is nested too deeply")
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
