"""What can be the address of a host that is asked, and what a key for it: settings and sources agree."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import HttpUrl, ValidationError
from pydantic_core import PydanticCustomError

_KEY: Final = re.compile(r"[A-Za-z0-9+/=._~:@-]{1,512}", re.ASCII)


def base_url(text: str) -> str:
    """A host's base URL, as pydantic writes it and without slashes at its end.

    Raises PydanticCustomError, which says what is wrong with it and does not repeat it.
    """
    try:
        url = HttpUrl(text)
        (url.host or "").encode("idna")  # As Python does before it asks for the address.
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Input should be a valid URL, ")
    except UnicodeError:
        problem = "a part of its host is empty or too long"
    else:
        if url.query is None and url.fragment is None:
            return str(url).rstrip("/")
        problem = "it has a query or a fragment"
    raise PydanticCustomError(
        "base_url",
        "is no base URL ({problem}); write https://host/path or https://host:port/path, without a query",
        {"problem": problem},
    )


def can_be_key(text: str) -> bool:
    """Whether this can be an API key, which travels as a header."""
    return _KEY.fullmatch(text) is not None


def host_of(base_url: str) -> str:
    """Host, port and path of a base URL, without a name or password: the sandbox is two hosts in one."""
    parts = urlsplit(base_url)
    return f"{parts.netloc.rpartition('@')[2].lower()}{parts.path}"
