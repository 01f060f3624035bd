"""What DB_URL and DB_READ_URL say, before anybody connects."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

_POSTGRES_PORT: Final = ":5432"
_HOSTS: Final = ("host", "port")


def scheme(url: str) -> str:
    """What kind of URL it is; empty where it cannot be read as one."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


def replica_problem(db_url: str, read_url: str) -> str | None:
    """Why the API cannot read at `read_url` what is written at `db_url`; None where it can."""
    if db_url.startswith("sqlite"):
        return (
            "DB_READ_URL names a replica and DB_URL is SQLite, which has none: "
            "set DB_URL to the PostgreSQL primary, or leave DB_READ_URL empty"
        )
    if _servers(read_url) == _servers(db_url):
        return (
            "DB_READ_URL is DB_URL's own server: name the replica's address, or leave "
            "DB_READ_URL empty where there is no replica"
        )
    own, other = _login(db_url), _login(read_url)
    unlike = ", ".join(name for name in own if own[name] != other[name])
    if unlike:
        return (
            f"DB_READ_URL differs from DB_URL in {unlike}, and a connection to either is made alike: "
            "write DB_URL with the replica's host and port, or leave DB_READ_URL empty"
        )
    return None


def _servers(url: str) -> tuple[str, list[tuple[str, str]]]:
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].lower().removesuffix(_POSTGRES_PORT)
    return hosts, [each for each in parse_qsl(parts.query) if each[0] in _HOSTS]


def _login(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    servers = (*_HOSTS, "target_session_attrs")
    return {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path),
        "options": sorted(each for each in parse_qsl(parts.query) if each[0] not in servers),
    }
