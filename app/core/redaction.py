"""The last defence of secrets: none of them leaves the process in a text.

Messages are written so that they hold no secret. This is for the words of libraries that a log, a
command or a reply passes on: they may hold anything. `app.core.logging.configure` says what to
hide, and the log, the commands' output and the replies pass through `redacted`.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

MARK: Final = "***"

SHORTEST: Final = 6
"""Characters of a secret that is hidden. Without `mms`, say, no text would be readable."""

_DELIMITERS: Final = re.compile(r"[\s@/?#:&=]+")

_hidden: Final[list[re.Pattern[str]]] = []


def hide(secrets: Iterable[str]) -> None:
    """Hide these secrets and the environment's from now on, in place of those of earlier calls."""
    every = {s for secret in [*secrets, *_of_environment()] for s in _spellings(secret)}
    longest_first = sorted((s for s in every if len(s) >= SHORTEST), key=len, reverse=True)
    _hidden[:] = [re.compile("|".join(map(_pattern, longest_first)))] if longest_first else []


def _pattern(secret: str) -> str:
    # Digits are hidden as a whole number only: the middle of a time stamp is none.
    return rf"(?<!\d){secret}(?!\d)" if secret.isdecimal() else re.escape(secret)


def redacted(text: str) -> str:
    """`text` with MARK in the place of each secret."""
    for pattern in _hidden:
        text = pattern.sub(MARK, text)
    return text


def secrets_in(value: str) -> Iterator[str]:
    """The secrets in a setting that may hold some: the login in a URL, or else the value itself.

    The user of a database is none: its name is in every message of the server.
    """
    scheme, separator, rest = value.partition("://")
    if not separator:
        yield value
        return
    login, at, _ = rest.rpartition("@")
    user, colon, password = login.partition(":")
    if at and (colon or not scheme.startswith("postgresql")):
        yield password
        yield from (unquote(part) for part in _DELIMITERS.split(password))
        if not scheme.startswith("postgresql"):
            yield from (user, f"{user}:{password}")
            yield base64.b64encode(unquote(f"{user}:{password}").encode()).decode()
    for name, text in parse_qsl(rest.partition("?")[2]):
        if "pass" in name:
            yield text


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if name.lower().endswith("_proxy") and "@" in value:
            yield from secrets_in(value if "://" in value else f"http://{value}")
        elif name == "PGPASSWORD":
            yield value


def _spellings(secret: str) -> Iterator[str]:
    """The secret as URLs, JSON and tracebacks write it."""
    for text in (secret, unquote(secret)):
        yield from (text, quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1])
