"""A refused setting in one line for people: its name, its value, the problem, and the fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

_NUMBERS: Final = frozenset(
    [
        "finite_number",
        "float_parsing",
        "float_type",
        "greater_than",
        "greater_than_equal",
        "int_from_float",
        "int_parsing",
        "int_parsing_size",
        "int_type",
        "less_than",
        "less_than_equal",
    ]
)
"""Pydantic's types of problems with a number."""


def line(item: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    """Show a validation problem as `NAME=value: problem`, without a hidden value."""
    if not item["loc"]:
        return item["msg"]
    name = str(item["loc"][0])
    field = fields[name]
    shown = f"={item['input']}" if field.repr else ""
    problem = item["msg"] if item["type"] not in _NUMBERS else _out_of_range(field)
    return f"{name.upper()}{shown}: {problem}"


def _out_of_range(field: FieldInfo) -> str:
    """Say which numbers a setting takes: pydantic names one end of the range, or none."""
    kind = "a whole number" if field.annotation is int else "a number"
    words = {"ge": "from {}", "gt": "above {}, up", "le": "to {}"}
    ends = [
        text.format(getattr(end, name))
        for end in field.metadata
        for name, text in words.items()
        if hasattr(end, name)
    ]
    return " ".join([f"is not {kind}", *ends])
