"""Checks of the URLs in the settings. No message repeats a URL: it may hold a password.

A function that checks a URL raises PydanticCustomError. Its message follows the setting's name.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import HttpUrl, ValidationError
from pydantic_core import PydanticCustomError

# The URLs that SQLAlchemy reads, except those that it misreads. A second @ means that the password
# was not escaped: the part between the two would appear in the name of a host. So would the end of
# a password in the query: there it must not have an @ either.
_ALIAS: Final = "postgres://"  # libpq reads it too, and hosts such as Heroku write it
_FILE: Final = re.compile(r"sqlite://(?:[/?].*)?")
_SERVER: Final = re.compile(
    r"""postgresql(?:\+psycopg)?://
    (?:(?P<user>[^:/]*)(?::(?P<password>(?![0-9]+/[^?@]*\?)[^@]*))?@)?
    (?:\[[^@/?\[\]]+\]|[^@:/?\[\]]*)
    (?::(?P<port>[0-9]{1,5}))?
    (?:/(?P<database>[^@?]*))?
    (?:\?(?P<query>[^@]*))?""",
    re.VERBOSE,
)
_HOST_AND_PORT: Final = re.compile(r"[^:,]*(?::[0-9]*)?")
_PORTS: Final = re.compile(r"[0-9]*(?:,[0-9]*)*")
_NODE: Final = re.compile(
    r"(?P<host>[^\s:/?#@\[\]]+|\[[^\s/?#@\[\]]+\]|[0-9a-fA-F:]+):(?P<port>[0-9]{1,5})"
)
_ROOT_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~!$&'()*+,;=:@-]+)+", re.ASCII)
_PLACES: Final = ("host", "port", "target_session_attrs")


def database_url(url: str) -> str:
    """Check the URL of a SQLite file or a PostgreSQL database; returns it, with `postgresql:`."""
    url = _in_full(url)
    if not (url.isprintable() and (_FILE.fullmatch(url) or _server(url))):
        raise PydanticCustomError(
            "db_url",
            "is not a URL of SQLite or PostgreSQL; write sqlite:///./data/mms.db or "
            "postgresql://user:password@host:5432/name, with %40 for an @ in the password",
        )
    return url


def replica_url(url: str) -> str | None:
    """Check the URL of a PostgreSQL replica, as `database_url` does; None for none or `none://`."""
    if not url or url == "none://":
        return None
    url = _in_full(url)
    if not (url.isprintable() and _server(url)):
        raise PydanticCustomError(
            "db_read_url",
            "is not a URL of a PostgreSQL replica; write "
            "postgresql://user:password@replica:5432/name, with %40 for an @ in the password, "
            "or leave it empty",
        )
    return url


def _in_full(url: str) -> str:
    """The URL with SQLAlchemy's name of PostgreSQL, the only one that the rest of us sees."""
    return f"postgresql://{url.removeprefix(_ALIAS)}" if url.startswith(_ALIAS) else url


def is_sqlite(db_url: str) -> bool:
    """Whether the URL is one of SQLite."""
    return db_url.startswith("sqlite:")


def replica_problem(db_url: str, read_url: str) -> str | None:
    """Why `read_url` cannot be a replica of `db_url`; None where it can."""
    if is_sqlite(db_url):
        return (
            "DB_READ_URL names a replica and DB_URL is SQLite, which has none: "
            "set DB_URL to the PostgreSQL primary, or leave DB_READ_URL empty"
        )
    own, other = _login(db_url), _login(read_url)
    differences = ", ".join(name for name in own if own[name] != other[name])
    if differences:
        return (
            f"DB_READ_URL differs from DB_URL in {differences}, which both must share: write DB_URL "
            "with the replica's host and port, or leave DB_READ_URL empty"
        )
    return None


def cache_url(url: str) -> str:
    """Check the URL of a cache; returns it unchanged."""
    if url not in ("memory://", "none://"):
        cache_nodes(url)
    return url


def cache_nodes(url: str) -> list[tuple[str, int]]:
    """Read the (host, port) of each node in a `memcached://host:port[,host:port…]` URL."""
    scheme, _, rest = url.partition("://")
    matches = [_NODE.fullmatch(item.strip()) for item in rest.rstrip("/").split(",")]
    nodes = [(match["host"].strip("[]"), int(match["port"])) for match in matches if match]
    usable = all(matches) and all(0 < port < 65_536 for _, port in nodes)
    if scheme != "memcached" or not usable:
        raise PydanticCustomError(
            "cache_url",
            "is not the URL of a cache; write memory://, none://, or "
            "memcached://host:port[,host:port…], without a user or password",
        )
    return list(dict.fromkeys(nodes))


_UNESCAPED: Final = re.compile(r"[\s@/?#\\\[\]]|%(?![0-9A-Fa-f]{2})")

MUST_BE_ESCAPED: Final = "its user or password holds a character that must be percent-encoded"


def unescaped_login(url: str) -> bool:
    """Whether the text before the last @ cannot be a user and a password.

    Readers of URLs differ then, and a part of the password becomes a host, a port or a path.
    """
    login = url.partition("://")[2].rpartition("@")[0]
    return _UNESCAPED.search(login) is not None


def base_url(url: str) -> str:
    """Check a host's base URL; returns it as pydantic writes it, without slashes at its end."""
    try:
        if unescaped_login(url):
            raise _bad_base_url(MUST_BE_ESCAPED)
        parts = HttpUrl(url)
        (parts.host or "").encode("idna")  # as Python does before it looks up the address
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Input should be a valid URL, ")
    except UnicodeError:
        problem = "a part of its host is empty or too long"
    else:
        if parts.query is None and parts.fragment is None:
            return str(parts).rstrip("/")
        problem = "it has a query or a fragment"
    raise _bad_base_url(problem)


def _bad_base_url(problem: str) -> PydanticCustomError:
    return PydanticCustomError(
        "base_url",
        "is not a base URL ({problem}); write https://host/path or https://host:port/path, "
        "without a query",
        {"problem": problem},
    )


def is_loopback(host: str) -> bool:
    """Whether a host's name or address means this machine."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_overheard(base_url: str) -> bool:
    """Whether what is sent to a base URL crosses a network unencrypted."""
    parts = urlsplit(base_url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def has_login(base_url: str) -> bool:
    """Whether a base URL holds a user or a password."""
    return "@" in urlsplit(base_url).netloc


def listen_addresses(hosts: str) -> str:
    """Check the addresses to listen on; returns them with commas between, each once, IPv6 bare."""
    items = [item.strip() for item in hosts.split(",")]
    if not all(map(_is_address, items)):
        raise PydanticCustomError(
            "host",
            "is not an address to listen on; write one or several with commas between, without a "
            "port (PORT has it): 127.0.0.1 or ::1 for this machine, 0.0.0.0 for every IPv4 address, "
            ":: for every address of both families",
        )
    return ",".join(dict.fromkeys(map(_bare, items)))


def _bare(address: str) -> str:
    """The address without brackets; one of IPv6 in its shortest spelling."""
    text = address.strip("[]")
    return str(ipaddress.IPv6Address(text)) if ":" in text else text


def _is_address(text: str) -> bool:
    """Whether the text is an IPv6 address, bare or in brackets, or may be another or a name."""
    bracketed = text.startswith("[") and text.endswith("]")
    if bracketed or ":" in text:
        try:
            ipaddress.IPv6Address(text[1:-1] if bracketed else text)
        except ValueError:
            return False
        return True
    return re.fullmatch(r"[^\s/?#@\[\]]+", text) is not None


def root_path(path: str) -> str:
    """Check the path under which a proxy publishes the API; returns it unchanged."""
    if path and not _ROOT_PATH.fullmatch(path):
        raise PydanticCustomError(
            "root_path",
            "is not a path to be under; write one like /mms or /api/mms: a slash before each part "
            "and none at the end, without a host, a query or percent signs; or leave it empty",
        )
    return path


def host_of(base_url: str) -> str:
    """The host, port and path of a base URL, without user and password.

    The path is included because the sandbox is two hosts in one.
    """
    parts = urlsplit(base_url)
    return f"{parts.netloc.rpartition('@')[2].lower()}{parts.path}"


def _server(url: str) -> re.Match[str] | None:
    """The parts of a PostgreSQL URL; None where the text is not one."""
    match = _SERVER.fullmatch(url)
    if match is None or int(match["port"] or 1) not in range(1, 65_536):
        return None
    return match if _names_servers(match["query"] or "") else None


def _names_servers(query: str) -> bool:
    """Whether the hosts and ports in a query, if any, belong together.

    One form is `host=a:5432&host=b:5432`, the other is `host=a,b&port=5432,5432`.
    """
    values = parse_qsl(query)
    hosts = [value for name, value in values if name == "host"]
    ports = [value for name, value in values if name == "port"]
    if len(hosts) > 1 or ":" in "".join(hosts):
        return not ports and all(_HOST_AND_PORT.fullmatch(host) for host in hosts)
    if not all(_PORTS.fullmatch(port) for port in ports):
        return False
    return not ports or ",".join(ports).count(",") == "".join(hosts).count(",")


def _login(url: str) -> dict[str, Any]:
    """The parts that a primary and its replica must share, by name."""
    parts = _SERVER.fullmatch(url)
    assert parts is not None  # checked before
    return {
        "user": unquote(parts["user"] or ""),
        "password": unquote(parts["password"] or ""),
        "database": unquote(parts["database"] or ""),
        "options": sorted(
            each for each in parse_qsl(parts["query"] or "") if each[0] not in _PLACES
        ),
    }
