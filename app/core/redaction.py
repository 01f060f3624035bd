"""The last defence of secrets: none of them leaves the process in a text.

Messages are written so that they hold no secret. This is for the words of libraries that a log, a
command or a reply passes on: they may hold anything. `app.core.logging.configure` says what to
hide, and the log, the commands' output and the replies pass through `redacted`.

Secrets of others, such as a client's key in the query, are not known here. `masked` takes them out
of what a client wrote, by the names of their parameters, and the log has no API key (`keyless`).
The digests of API keys are no secrets: nobody can find a key of 256 random bits from its digest.
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

_HARMLESS: Final = re.compile(
    r"/[A-Za-z0-9/.:,-]*|(?:(?:from|to|range|interval|limit)(?:_ts|_days)?=[A-Za-z0-9.:,-]*(?:&|\Z))*",
    re.ASCII,
)
"""Most paths and queries, told in half a microsecond: every line of a request asks."""

_SECRET_ITEM: Final = re.compile(
    r"(?:key|token|secret|pass|pwd|sig|auth|jwt|session|credential|cookie)[^=]*=", re.IGNORECASE
)
_ENCODINGS: Final = 3
"""How often a client may have percent-encoded what it wrote."""

_KEY_BEGINS: Final = "mms_"  # as in `app.core.api_keys`, which `mms --help` does without
_API_KEY: Final = re.compile(rf"{_KEY_BEGINS}[A-Za-z0-9_-]{{43}}", re.ASCII)
_PART_OF_KEY: Final = re.compile(rf"{_KEY_BEGINS}[A-Za-z0-9_-]{{4,}}", re.ASCII)

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


def masked(target: str) -> str:
    """A client's path or query with MARK in the place of values whose names tell of a secret.

    In `a=1&api_key=x` that is `x`, however the name is written (`API%5FKEY`). A value goes on up to
    the next `&`, and one that holds such a name itself, as `?token=x` does, is masked whole. So is
    an API key of ours under any name. The text may be the beginning of a longer one, cut anywhere.
    """
    if _HARMLESS.fullmatch(target) or not _tells_of_secret(_decoded(target)):
        return target
    return "&".join(map(_masked_item, target.split("&")))


def _masked_item(item: str) -> str:
    if not _tells_of_secret(_decoded(item)):
        return item
    name, equals, _ = item.partition("=")
    if equals and not _tells_of_secret(_decoded(name)):
        return f"{name}={MARK}"
    shown = _PART_OF_KEY.split(item)[0].partition("%")[0]
    return f"{shown}{MARK}"


def _tells_of_secret(text: str) -> bool:
    return bool(_SECRET_ITEM.search(text) or _PART_OF_KEY.search(text))


def _decoded(text: str) -> str:
    for _ in range(_ENCODINGS):
        if "%" not in text:
            break
        text = unquote(text)
    return text


def keyless(text: str) -> str:
    """`text` with MARK in the place of each API key of ours, whoever holds it."""
    return _API_KEY.sub(MARK, text) if _KEY_BEGINS in text else text


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
