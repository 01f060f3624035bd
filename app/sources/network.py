"""The way to a host as the environment gives it: trusted certificates, and a proxy if there is one.

httpx reads these variables itself, but all of them: an entry of NO_PROXY that is no URL to it stops
every request, and its errors repeat parts of a proxy's password. So they are read here, and httpx
gets the result. What is not needed for a host is not judged: neither the proxy of another scheme
nor, without TLS, a file of certificates.

The API reads the way at its start, and httpx takes time and memory. So it is imported here only for
a proxy, or for a host whose name is not plain.

SSL_CERT_FILE counts before SSL_CERT_DIR, and both before the certificates that come with httpx. No
message repeats a value.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from app.core.errors import ConfigurationError
from app.core.logging import structlog
from app.core.setting_urls import MUST_BE_ESCAPED, is_loopback, unescaped_login

if TYPE_CHECKING:
    import httpx

_PROXY: Final = re.compile(
    r"""(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?
    (?:(?P<user>[^\s:@/?\#]*)(?::(?P<password>[^\s@/?\#]*))?@)?
    (?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:@/?\#\[\]]+)
    (?::(?P<port>[0-9]{1,5}))?/?""",
    re.VERBOSE,
)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WITH_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:]*):([0-9]+)")
_DOMAIN: Final = re.compile(r"[\w.-]+")
_PLAIN: Final = re.compile(r"(?!xn--)[a-z0-9._:-]+")
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, and the name of the variable that holds its URL."""

    variable: str
    client: httpx.Proxy = field(repr=False)


Trust = ssl.SSLContext | Literal[True]
"""The certificates to trust; True stands for those that come with httpx, which are then unread."""


@dataclass(frozen=True, slots=True)
class _Host:
    """The host of a base URL, and how it is spoken to. A punycode name is decoded."""

    scheme: str
    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Network:
    """How requests reach a host. `proxy` is None where nothing stands between."""

    trust: Trust
    proxy: Proxy | None = None


def network_to(base_url: str) -> Network:
    """The way to the host of a base URL. Raises ConfigurationError, which names the variable."""
    host = _host(base_url)
    # This machine is never behind a proxy, whatever NO_PROXY says.
    chosen = None if is_loopback(host.name) else _chosen_proxy(host)
    trust: Trust
    if host.scheme == "https" or (chosen and chosen[1].lower().startswith("https://")):
        trust = _trust()
    else:
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody: there is no TLS
    return Network(trust, _proxy(*chosen, trust) if chosen else None)


def _host(base_url: str) -> _Host:
    try:
        url = urlsplit(base_url)
        name = url.hostname or ""
        if not _PLAIN.fullmatch(name):
            name = _decoded(base_url)
        return _Host(url.scheme, name, url.port or {"http": 80, "https": 443}[url.scheme])
    except (LookupError, ValueError):
        raise ConfigurationError(
            "a base URL (MB_API_BASE_URL, MB_LEGACY_API_BASE_URL or COINGECKO_API_BASE_URL) "
            "cannot be used: write https://host/path or https://host:port/path"
        ) from None


def _decoded(base_url: str) -> str:
    """The host's name as httpx reads it. Raises ValueError where it is none."""
    import httpx  # noqa: PLC0415 - its rules for names in other scripts, which few hosts have

    try:
        return httpx.URL(base_url).host
    except httpx.InvalidURL as error:
        raise ValueError from error


def _chosen_proxy(host: _Host) -> tuple[str, str] | None:
    """The variable and the value of the proxy for this URL; None where it is asked directly."""
    # Where no variable is set, this reads the settings of macOS or Windows.
    values = {kind: value.strip() for kind, value in getproxies().items()}
    kind = next((kind for kind in (host.scheme, "all") if values.get(kind)), None)
    if kind is None or _bypassed(host, values.get("no", "")):
        return None
    return _variable(kind), values[kind]


def _variable(kind: str) -> str:
    """The name of the variable that `getproxies` has read: it prefers lower case."""
    names = [name for name in os.environ if name.lower() == f"{kind}_proxy"]
    return max(names, default=f"this system's {kind} proxy")


def _bypassed(host: _Host, no_proxy: str) -> bool:
    """Whether NO_PROXY excepts this host. An entry without a meaning is ignored, with a warning."""
    excepted = False
    for number, entry in enumerate(re.split(r"[\s,]+", no_proxy.strip()), start=1):
        try:
            excepted |= _excepts(entry.lower(), host)
        except ValueError:
            structlog.get_logger().warning(
                "no_proxy_entry_ignored",
                variable=_variable("no"),
                entry=number,
                allowed="a host, .domain, address, network such as fd00::/8, host:port, or *",
            )
    return excepted


def _excepts(entry: str, host: _Host) -> bool:
    """Whether this entry of NO_PROXY means the host. Raises ValueError where it is none.

    As curl reads it: `example.com` and `.example.com` mean the domain and all below it. As httpx
    does, it may begin with a scheme.
    """
    if entry in ("", "*"):
        return entry == "*"
    scheme, _, name = entry.rpartition("://")
    if match := _WITH_PORT.fullmatch(name):
        name, entry_port = match[1], int(match[2])
    else:
        entry_port = host.port
    fits = scheme in ("", "all", host.scheme) and entry_port == host.port
    name = name.replace("[", "").replace("]", "")
    if "/" in name or ":" in name or name.replace(".", "").isdigit():
        network = ipaddress.ip_network(name, strict=False)
        try:
            return fits and ipaddress.ip_address(host.name) in network
        except ValueError:
            return False  # a name: it is not looked up for this
    name = name.removeprefix("*").strip(".")
    if not _DOMAIN.fullmatch(name):
        raise ValueError
    return fits and f".{host.name}".endswith(f".{name}")


def _proxy(variable: str, value: str, trust: Trust) -> Proxy:
    import httpx  # noqa: PLC0415 - few need a proxy

    match = _PROXY.fullmatch(value)
    problem = _problem(value)
    if match is None or problem:
        raise ConfigurationError(
            f"{variable} is not the URL of a proxy ({problem or 'its host cannot be one'}): write "
            "http://host:port or http://user:password@host:port, and percent-encode what is "
            "neither a letter nor a digit in user and password (%40 for @, %23 for #)"
        )
    scheme = (match["scheme"] or "http").lower()
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy, which needs a package that is not installed: "
            "pip install socksio, or name an HTTP proxy"
        )
    login = (unquote(match["user"] or ""), unquote(match["password"] or ""))
    address = f"{scheme}://{match['host']}" + (f":{match['port']}" if match["port"] else "")
    try:
        client = httpx.Proxy(
            address,
            ssl_context=(
                httpx.create_ssl_context(verify=trust, trust_env=False)
                if scheme == "https"
                else None
            ),
            auth=login if any(login) else None,
        )
    except (httpx.InvalidURL, ValueError):
        raise ConfigurationError(
            f"{variable} is not the URL of a proxy (its host cannot be one): write http://host:port"
        ) from None
    return Proxy(variable, client)


def _problem(value: str) -> str:
    """What is wrong with the URL of a proxy; empty where only its shape can be wrong."""
    scheme = _SCHEME.match(value)
    rest = value[scheme.end() :] if scheme else value
    port = rest.rpartition("@")[2].rstrip("/").rpartition("]")[2].partition(":")[2] or "1"
    if scheme and scheme[0].lower() not in ("http://", "https://", "socks5://", "socks5h://"):
        return "its scheme is none of http, https, socks5 and socks5h"
    if not value.isprintable() or unescaped_login(f"://{rest}"):
        return MUST_BE_ESCAPED
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65_536):
        return "its port is no number from 1 to 65535"
    return ""


def _trust() -> Trust:
    """The certificates to trust. Raises ConfigurationError."""
    _check_key_log()
    variable = next((n for n in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(n)), None)
    if variable is None:
        return True
    value = os.environ[variable]
    try:
        if variable == "SSL_CERT_FILE":
            return ssl.create_default_context(cafile=value)
        if not any(_HASHED.fullmatch(name) for name in _names(value)):
            raise _unusable(
                variable, "there is no file in it with a name as `openssl rehash` gives", "a folder"
            )
        return ssl.create_default_context(capath=value)
    except ssl.SSLError:
        reason = "it holds no certificates in PEM form, or a damaged one"
    except OSError as error:
        reason = _words(error)
    raise _unusable(variable, reason, "a file") from None


def _check_key_log() -> None:
    """Raise ConfigurationError where contexts cannot write the keys that they are told to log."""
    try:
        if file := os.environ.get("SSLKEYLOGFILE"):
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = file
    except OSError as error:
        raise ConfigurationError(
            f"SSLKEYLOGFILE cannot be written ({_words(error)}): name a file that can be, or unset it"
        ) from None


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "it cannot be read"


def _names(value: str) -> Iterator[str]:
    for folder in map(Path, value.split(os.pathsep)):
        if folder.is_dir():
            yield from (entry.name for entry in folder.iterdir())


def _unusable(variable: str, reason: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable} cannot be used ({reason}): name {what} of certificates in PEM form that this "
        "process may read, or unset it"
    )
