"""The OpenAPI document: what this process serves, and what may come instead of any reply."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, Final

from fastapi import FastAPI

from app.api.admission import HEALTH, UNKEYED
from app.api.context import Context
from app.api.documented import COMPONENTS, problem_reply
from app.api.errors import FORBIDDEN, FROM_THE_EDGE, NOT_FOUND, UNAUTHORIZED, Answer
from app.core import names
from app.core.market import DAY, WINDOWS, Interval

_OTHERS: Final = (*FROM_THE_EDGE, NOT_FOUND)
"""What may be answered in the place of any route."""

_OF_KEYS: Final = (UNAUTHORIZED, FORBIDDEN)
"""What may be answered where a key is needed."""

_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, which the operator of this service gives.",
}

TAGS: Final = [
    {"name": "Start", "description": "A page to look at, and the addresses to begin with."},
    {
        "name": "Series",
        "description": "Averages and candles of each pair: what is stored, what is missing, and "
        "what was refused or changed.",
    },
    {"name": "Prices", "description": "Spot prices of coins, as they were collected."},
    {"name": "Stream", "description": "What is new, as it is committed."},
    {"name": "Health", "description": "For probes and load balancers."},
]
"""The parts of the document, in the order in which one reads them."""

_EXAMPLES_DAY: Final = 1_711_756_800 // DAY
"""2024-03-30, the day on which the examples of replies were taken."""
# In JSON a line of CSV begins after \n, whose n is no boundary of a word.
_DATE: Final = re.compile(r"(?<![0-9])20[0-9]{2}-[0-9]{2}-[0-9]{2}")
_SECONDS: Final = re.compile(r"(?<![0-9])1[67][0-9]{8}(?![0-9])")
_HTTP_DATE: Final = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} 20[0-9]{2} [0-9:]{8} GMT")

_SPECIAL: Final = frozenset(r"\^$.*+?()[]{}|/")
"""The characters that mean something in a pattern of ECMAScript."""


def document(api: FastAPI, context: Context) -> dict[str, Any]:
    """The document of `api`, with the names that the settings allow."""
    if api.openapi_schema is None:
        schema = FastAPI.openapi(api)
        replies = schema["components"].setdefault("responses", {})
        others = (*_OTHERS, *_OF_KEYS)
        replies |= {answer.code: problem_reply(answer, answer.example) for answer in others}
        schema["components"]["securitySchemes"] = {"key": _KEY}
        schema["components"]["schemas"] |= COMPONENTS["schemas"] | _enums(context)
        schema["components"]["headers"] = COMPONENTS["headers"]
        if context.root_path:
            schema["servers"] = [{"url": context.root_path}]
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                _secure(method, path, operation, context)
                _complete(path, operation, context)
        days = int(context.runtime.clock()) // DAY - _EXAMPLES_DAY
        api.openapi_schema = _recent(schema, days)
    assert api.openapi_schema is not None
    return api.openapi_schema


def _secure(method: str, path: str, operation: dict[str, Any], context: Context) -> None:
    """Say whether a request needs a key; see `app.api.admission`."""
    settings = context.runtime.settings
    reads = method == "get"
    if path in (*HEALTH, *UNKEYED) or (reads and settings.read_access == "open"):
        return
    operation["security"] = [{"key": []}]
    if not reads and settings.collects_without_key:
        operation["security"].append({})
    for answer in _OF_KEYS:
        operation["responses"][str(answer.status)] = _reference(answer)


def _complete(path: str, operation: dict[str, Any], context: Context) -> None:
    for parameter in operation.get("parameters", ()):
        _allow(parameter, context)
    replies = operation["responses"]
    for answer in _OTHERS:
        # Only an address with a part of the client's choice may turn out to be none.
        if answer is not NOT_FOUND or "{" in path:
            replies.setdefault(str(answer.status), _reference(answer))
    operation["responses"] = dict(sorted(replies.items()))


def _reference(answer: Answer) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{answer.code}"}


def _allow(parameter: dict[str, Any], context: Context) -> None:
    """Add to a parameter what the settings decide about it."""
    settings = context.runtime.settings
    if parameter["name"] == "pair":
        pairs = settings.allowed_pairs
        parameter["schema"]["pattern"] = any_case(
            name for pair in pairs for name in (pair.legacy, pair.symbol)
        )
        parameter["example"] = pairs[0].legacy
    elif parameter["name"] == "symbol":
        coins = settings.allowed_symbols
        parameter["schema"]["pattern"] = any_case(coin.symbol for coin in coins)
        parameter["example"] = coins[0].symbol
    elif parameter["name"] == "interval" and Interval.DAY not in settings.intervals:
        parameter["required"] = True
        parameter["example"] = settings.intervals[0].value


def _enums(context: Context) -> dict[str, Any]:
    """The schemas of parameters whose values begin with a digit, with names for programs."""
    intervals = context.runtime.settings.intervals
    return {
        "Window": {
            "type": "integer",
            "enum": list(WINDOWS),
            "x-enum-varnames": [f"WINDOW_{window}" for window in WINDOWS],
        },
        "Interval": {
            "type": "string",
            "enum": [interval.value for interval in intervals],
            "x-enum-varnames": [interval.name for interval in intervals],
        },
    }


def _recent(schema: dict[str, Any], days: int) -> Any:
    """The document, the times in it moved by `days`; only examples have any.

    A fresh installation has the data of its last year, and a reader may try what an example shows.
    """
    by, text = timedelta(days), json.dumps(schema)
    text = _DATE.sub(lambda day: (date.fromisoformat(day[0]) + by).isoformat(), text)
    text = _SECONDS.sub(lambda at: str(int(at[0]) + days * DAY), text)
    text = _HTTP_DATE.sub(
        lambda at: format_datetime(parsedate_to_datetime(at[0]) + by, usegmt=True), text
    )
    return json.loads(text)


def any_case(allowed: Iterable[str]) -> str:
    """A pattern of these names, whose letters may have any case."""
    return f"^(?:{'|'.join(''.join(map(_either, name)) for name in allowed)})$"


def _either(char: str) -> str:
    lower = char.lower()
    if lower != char and len(lower) == 1 and names.cased(lower) == char:
        return f"[{char}{lower}]"
    return f"\\{char}" if char in _SPECIAL else char
