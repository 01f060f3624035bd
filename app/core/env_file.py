"""`.env`: settings as lines of NAME=value. A line that cannot be read stops the start: dropped in
silence, it would put a default in its place, and the default's database with it."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from app.core.errors import ConfigurationError


def read_env_file(path: Path) -> dict[str, str | None]:
    """What the file says, by name as written there; nothing where there is no such file.

    Raises ConfigurationError where it is no regular file, cannot be read, is no UTF-8 text, or has a
    line that is neither NAME=value nor a comment.
    """
    if not os.path.lexists(path):
        return {}
    text = _content(path)
    for binding in parse_stream(StringIO(text)):
        # A name alone is no mistake to the parser, and no value either.
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigurationError(
                f"{path}, line {_line(binding)}, is no NAME=value, or opens a quote and does not "
                "close it: correct the line, or put # before it"
            )
    return dotenv_values(stream=StringIO(text))


def _content(path: Path) -> str:
    try:
        if not path.is_file():
            raise ConfigurationError(
                f"{path} is no regular file: write the settings into one, or remove it"
            )
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}): let this process read it, or remove it"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path}, line {line}, is no UTF-8 text: save the file as UTF-8"
        ) from None


def _line(binding: Binding) -> int:
    """The number of the binding's line; the parser counts from the empty lines before it."""
    text = binding.original.string
    empty = text[: len(text) - len(text.lstrip())]
    return binding.original.line + empty.count("\n")
