"""The OpenAPI document: what this process serves, and what may come instead of any reply."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from fastapi import FastAPI

from app.api.admission import HEALTH
from app.api.context import Context
from app.api.errors import FORBIDDEN, FROM_THE_EDGE, NOT_FOUND, UNAUTHORIZED, Answer
from app.api.responses import problem_reply
from app.core import names
from app.core.market import Interval

_OTHERS: Final = (*FROM_THE_EDGE, NOT_FOUND)
"""What may be answered in the place of any route."""

_OF_KEYS: Final = (UNAUTHORIZED, FORBIDDEN)
"""What may be answered where a key is needed."""

_KEY: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, which the operator of this service gives.",
}

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
        if context.root_path:
            schema["servers"] = [{"url": context.root_path}]
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                _secure(method, path, operation, context)
                _complete(path, operation, context)
    assert api.openapi_schema is not None
    return api.openapi_schema


def _secure(method: str, path: str, operation: dict[str, Any], context: Context) -> None:
    """Say whether a request needs a key; see `app.api.admission`."""
    settings = context.runtime.settings
    reads = method == "get"
    if path in HEALTH or (reads and settings.read_access == "open"):
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
    elif parameter["name"] == "interval":
        parameter["schema"]["enum"] = [interval.value for interval in settings.intervals]
        if Interval.DAY not in settings.intervals:
            del parameter["schema"]["default"]
            parameter["required"] = True
            parameter["example"] = settings.intervals[0].value


def any_case(allowed: Iterable[str]) -> str:
    """A pattern of these names, whose letters may have any case."""
    return f"^(?:{'|'.join(''.join(map(_either, name)) for name in allowed)})$"


def _either(char: str) -> str:
    lower = char.lower()
    if lower != char and len(lower) == 1 and names.cased(lower) == char:
        return f"[{char}{lower}]"
    return f"\\{char}" if char in _SPECIAL else char
