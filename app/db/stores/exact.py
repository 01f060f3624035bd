"""Numbers without a tick in their two columns: whole 1e-8 where they fit, else decimal text."""

from __future__ import annotations

from app.core.market import Exact


def columns(value: Exact | None) -> tuple[int | None, str | None]:
    """The values of the number's two columns."""
    return (None, value) if isinstance(value, str) else (value, None)


def value(whole: int | None, decimal: str | None) -> Exact | None:
    """The number of the two columns; None where both are NULL."""
    return decimal if whole is None else whole
