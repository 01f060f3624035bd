"""JSON as RFC 8259 means it, read so that no number ever passes through a binary float.

Python's own reader accepts `NaN`, `Infinity` and repeated keys, and turns `353446.62655678` into a
float; from an exchange, the first three are nonsense and the last would cost the price its digits.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn


class DecimalText(str):
    """A JSON number with a fraction or an exponent, as the characters that were sent."""

    __slots__ = ()


class JsonRefused(ValueError):
    """The text is JSON, more or less, but holds something that cannot be trusted."""


class JsonBroken(JsonRefused):
    """The text is not a JSON document; one that was cut off in transfer ends up here as well."""


def loads(body: bytes) -> Any:
    """Parse one JSON document in UTF-8.

    Whole numbers become `int`, all other numbers DecimalText. Raises JsonBroken for what is no JSON, and
    JsonRefused for NaN and infinities, a key given twice, and what is too long or too deep for Python.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_float=DecimalText,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise JsonBroken(f"it is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise JsonBroken(f"it is not JSON at character {error.pos}: {error.msg}") from error
    except RecursionError as error:
        raise JsonRefused("it is nested too deeply") from error
    except JsonRefused:
        raise
    except ValueError as error:
        raise JsonRefused(f"it holds a number that is too long ({error})") from error


def _refuse_constant(name: str) -> NoReturn:
    raise JsonRefused(f"it holds {name}, which is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
        raise JsonRefused(f"an object holds the key {twice[:40]!r} twice")
    return result
