"""The query string, read once and strictly, from the same declarations that /docs shows."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from app.core.errors import InvalidParameter, RepeatedParameter, UnknownParameter

LONGEST: Final = 2_048
"""The most bytes of query string that are read."""

_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter: its spellings, and what /docs says about it."""

    name: str
    description: str
    schema: Mapping[str, Any]
    example: Any
    other_name: str | None = None
    required: bool = False

    def documented(self) -> list[dict[str, Any]]:
        """The parameter, and its other spelling, as OpenAPI Parameter Objects."""
        first = _object(self.name, self.description, self)
        if self.other_name is None:
            return [first]
        return [first, _object(self.other_name, f"Another name of `{self.name}`.", self)]


class Query:
    """The query parameters that one kind of request takes."""

    def __init__(self, *parameters: Parameter) -> None:
        self.parameters = parameters
        # By every spelling, in the order of their declaration: the name that it means.
        self._names = {
            spelling: parameter.name
            for parameter in parameters
            for spelling in (parameter.name, parameter.other_name)
            if spelling is not None
        }

    def read(self, raw: bytes) -> dict[str, str]:
        """The values in the query string `raw`, by parameter name.

        Raises UnknownParameter, RepeatedParameter (also for two spellings of one parameter), and
        InvalidParameter where it is too long, is not UTF-8 or lacks what is required.
        """
        if len(raw) > LONGEST:
            raise InvalidParameter(
                f"The query is {len(raw):,} bytes long; at most {LONGEST:,} are read."
            )
        values: dict[str, str] = {}
        spelt: dict[str, str] = {}
        for item in raw.split(b"&"):
            if not item:
                continue
            before, _, after = item.partition(b"=")
            spelling = _decoded(before)
            name = self._names.get(spelling)
            if name is None:
                raise self._unknown(spelling)
            if name in values:
                raise _repeated(spelt[name], spelling)
            spelt[name] = spelling
            values[name] = _decoded(after)
        for parameter in self.parameters:
            if parameter.required and parameter.name not in values:
                raise InvalidParameter(f"{parameter.name} is required. {parameter.description}")
        return values

    def documented(self) -> list[dict[str, Any]]:
        """Every spelling of every parameter as OpenAPI Parameter Objects."""
        return [item for parameter in self.parameters for item in parameter.documented()]

    def _unknown(self, spelling: str) -> UnknownParameter:
        shown = shortened(spelling)
        if not self._names:
            return UnknownParameter(f"{shown!r} is no parameter of this request: it takes none.")
        close = difflib.get_close_matches(shown.lower(), self._names, n=1)
        hint = f" ({close[0]} is)" if close else ""
        allowed = ", ".join(self._names)
        return UnknownParameter(f"{shown!r} is no parameter of this request{hint}: use {allowed}.")


def shortened(text: str) -> str:
    """What a client sent, short enough to be repeated in a message."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _repeated(first: str, second: str) -> RepeatedParameter:
    if first == second:
        return RepeatedParameter(f"{first} is given more than once: give it once.")
    return RepeatedParameter(f"{first} and {second} mean the same: give one of them, once.")


def _decoded(part: bytes) -> str:
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParameter(
            "The query is not valid UTF-8: percent-encode the bytes of UTF-8 text."
        ) from None


def _object(name: str, description: str, parameter: Parameter) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        # With two names for one parameter neither can be required by itself.
        "required": parameter.required and parameter.other_name is None,
        "description": description,
        "schema": dict(parameter.schema),
        "example": parameter.example,
    }
