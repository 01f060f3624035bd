"""The settings of the edge: rates, names of hosts, networks of proxies.

A function that checks a value raises PydanticCustomError. Its message follows the setting's name.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

from pydantic_core import PydanticCustomError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNITS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}

_RATE: Final = re.compile(r"([0-9]{1,9})\s*/\s*([a-z]+)", re.ASCII)
# RFC 1123: labels of 63 characters at most. An underscore is no part of it, but of container names.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_LONGEST_NAME: Final = 253
_ORIGIN: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_NAME.pattern}|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?",
    re.ASCII,
)

ANY_HOST: Final = "*"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in any `seconds` seconds."""

    count: int
    seconds: int

    def __str__(self) -> str:
        unit = next(name for name, seconds in UNITS.items() if seconds == self.seconds)
        return f"{self.count}/{unit}"


def rate(text: str) -> Rate | Literal["off"]:
    """Read `600/minute`, or `off`."""
    written = text.strip().lower()
    if written == "off":
        return "off"
    match = _RATE.fullmatch(written)
    if match is None or match[2] not in UNITS or int(match[1]) == 0:
        raise PydanticCustomError(
            "rate",
            "is not a rate; write a whole number above 0, a slash and one of {units}, "
            "such as 600/minute, or off",
            {"units": ", ".join(UNITS)},
        )
    return Rate(int(match[1]), UNITS[match[2]])


def host_name(text: str) -> str:
    """Check a name under which the API is asked for, or `*` for any; returns it in lower case."""
    name = text.lower().removesuffix(".")
    if name != ANY_HOST and not (_NAME.fullmatch(name) and len(name) <= _LONGEST_NAME):
        raise PydanticCustomError(
            "host_name",
            "holds {written}, which is no name of a host; write names with commas between, without "
            "scheme and port: api.example.com (addresses need not be written, they always pass)",
            {"written": repr(text)},
        )
    return name


def origin(text: str) -> str:
    """Check the origin of a web page, `https://app.example.com`; returns it as browsers send it.

    Source: RFC 6454, 6.1: a scheme, a host, and a port that is not the scheme's own.
    """
    match = _ORIGIN.fullmatch(text.lower())
    port = match["port"] if match else None
    if match is None or (port is not None and int(port) not in range(1, 65_536)):
        raise PydanticCustomError(
            "origin",
            "holds what is no origin of a page; write scheme and host, and a port that is not the "
            "scheme's own, without a path: https://app.example.com, http://localhost:3000",
        )
    usual = {"http": "80", "https": "443"}[match["scheme"]]
    return f"{match['scheme']}://{match['host']}{f':{port}' if port not in (None, usual) else ''}"


def network(text: str) -> Network:
    """Read an address or a network of proxies."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise PydanticCustomError(
            "network",
            "holds {written}, which is neither an address nor a network; write {example}, "
            "with commas between",
            {"written": repr(text), "example": _network_meant(text)},
        ) from None


def _network_meant(text: str) -> str:
    """The network of an address that was written with a length, else examples."""
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return "10.0.0.7, 10.0.0.0/16 or fd00::/8"
