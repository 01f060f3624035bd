"""Figures that a document has: a test says them, and `pytest -s` shows them."""

from __future__ import annotations


def say(text: str) -> None:
    """Say a line of figures."""
    print(text)  # noqa: T201 - pytest keeps it to itself unless somebody wants to see it
