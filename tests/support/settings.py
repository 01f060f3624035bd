"""The settings as a document lists them."""

from __future__ import annotations

from pydantic import SecretStr

from app.core.settings import Settings


def declared() -> dict[str, str]:
    """Every setting and its default, in the order of the code."""
    return {name.upper(): _written(field.default) for name, field in Settings.model_fields.items()}


def _written(value: object) -> str:
    """A default as a person would write it into `.env`."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)
