"""How the text of a setting becomes its value: lists, numbers with a word beside them.

A function that reads a value raises PydanticCustomError. Its message follows the setting's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import PydanticCustomError

from app.core import names
from app.core.errors import MmsError


def listed(value: Any, parse: Callable[[str], Any]) -> Any:
    """Read a comma-separated list, each item once, with `parse`; return other types unchanged."""
    if not isinstance(value, str):
        return value
    items = [item.strip() for item in value.split(",") if item.strip()]
    if not items:
        raise PydanticCustomError("list", "is empty; write one item or several with commas between")
    try:
        return tuple(dict.fromkeys(parse(item) for item in items))
    except MmsError as error:
        raise PydanticCustomError("item", "{reason}", {"reason": str(error)}) from None


def whole_or(value: Any, word: str, most: int, meaning: str) -> Any:
    """Read a whole number from 1 to `most`, or `word`, whose `meaning` an error says."""
    text = str(value).strip().lower()
    if text == word:
        return text
    if text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most:
        return int(text)
    raise PydanticCustomError(
        "whole_or",
        "is neither a whole number from 1 to {most} nor {word}, {meaning}",
        {"most": most, "word": word, "meaning": meaning},
    )


def distinct(kind: str, spellings: Mapping[str, Sequence[str]]) -> None:
    """Refuse two names of which a spelling cannot be told from one of the other's."""
    owners: dict[str, str] = {}
    for name, written in spellings.items():
        for text in written:
            owner = owners.setdefault(names.skeleton(text), name)
            if owner != name:
                raise PydanticCustomError(
                    "alike",
                    "names {kind}s that cannot be told apart, {one} and {other} (both are read as "
                    "{text}); remove one of them",
                    {"kind": kind, "one": owner, "other": name, "text": text},
                )
