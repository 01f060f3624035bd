"""What can be the address of a host that is asked, and what a key for it: settings and sources agree."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

BASE_URL_WRITTEN: Final = "write https://host/path or https://host:port/path, without a query"

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_LONGEST_NAME: Final = 253
_LONGEST_URL: Final = 2_000
_KEY: Final = re.compile(r"[A-Za-z0-9+/=._~:@-]{1,512}", re.ASCII)


def base_url_problem(url: str) -> str:
    """What is wrong with a host's base URL, as the end of a sentence; empty where nothing is."""
    if not (url.isascii() and url.isprintable()) or " " in url or len(url) > _LONGEST_URL:
        return "holds what no URL has"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "has no usable host or port (1 to 65535)"
    if parts.scheme not in ("http", "https"):
        return "is no base URL"
    if "?" in url or "#" in url:
        return "has a query or a fragment"
    if port == 0 or not _is_host(parts.hostname or ""):
        return "has no usable host or port (1 to 65535)"
    return ""


def can_be_key(text: str) -> bool:
    """Whether this can be an API key, which travels as a header."""
    return _KEY.fullmatch(text) is not None


def _is_host(name: str) -> bool:
    if ":" in name or name.replace(".", "").isdigit():
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
    labels = name.removesuffix(".").split(".")
    return len(name) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in labels)


def host_of(base_url: str) -> str:
    """Host, port and path of a base URL, without a name or password: the sandbox is two hosts in one."""
    parts = urlsplit(base_url)
    return f"{parts.netloc.rpartition('@')[2].lower()}{parts.path}"
