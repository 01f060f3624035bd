"""What a setting may be, in words, for the line that refuses a value."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo


def refusal(field: FieldInfo) -> str | None:
    """What a value is not that `field` refuses by its type or its bounds.

    None for a field that has a check of its own, which says it better.
    """
    kind = field.annotation
    if get_origin(kind) is Literal:
        return f"is none of {', '.join(get_args(kind))}"
    if bool in (kind, *get_args(kind)):
        return "is neither true nor false"
    if kind is int:
        return f"is no whole number {_bounds(field)}"
    if kind is float:
        return f"is no number {_bounds(field)}"
    return None


def _bounds(field: FieldInfo) -> str:
    """The bounds of a number; each has a lowest and a highest value."""
    bound = {
        name: getattr(each, name)
        for each in field.metadata
        for name in ("ge", "gt", "le")
        if hasattr(each, name)
    }
    low = f"from {bound['ge']}" if "ge" in bound else f"above {bound['gt']} up"
    return f"{low} to {bound['le']}"
