"""What DB_URL and DB_READ_URL say, before anybody connects."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

_SERVERS: Final = ("host", "port", "target_session_attrs")


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
    own, other = _login(db_url), _login(read_url)
    unlike = ", ".join(name for name in own if own[name] != other[name])
    if unlike:
        return (
            f"DB_READ_URL differs from DB_URL in {unlike}, and a connection to either is made alike: "
            "write DB_URL with the replica's host and port, or leave DB_READ_URL empty"
        )
    return None


def _login(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path),
        "options": sorted(each for each in parse_qsl(parts.query) if each[0] not in _SERVERS),
    }
