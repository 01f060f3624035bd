"""A password in a URL means exactly itself, or is refused with the fix; it is never misread."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest
from sqlalchemy.engine import make_url

from app.core.errors import ConfigurationError
from app.core.settings import Settings
from app.db.database import open_engine
from app.sources.network import network_to
from tests.support.api import settings
from tests.unit.sources.upstream_fakes import FakeHost, answer, door

HOST = "host.example"
SPECIAL = [*"@:/?#%[] &=+;\\", "%4", "%zz", "@@", "/@", "@/", ":@", "?@", "#@", "://", "//"]
WHERE = {"beginning": "{}Zq7WvX", "middle": "Zq7W{}zX9k", "end": "Zq7WvX{}", "alone": "{}"}
PASSWORDS = [where.format(special) for special in SPECIAL for where in WHERE.values()]
BASE_URLS = [name for name in Settings.model_fields if name.endswith("base_url")]

Read = Callable[[str], tuple[Any, Any]]


def of_database(login: str) -> tuple[Any, Any]:
    """What libpq gets."""
    url = settings(db_url=f"postgresql://mms:{login}@{HOST}/mms").db_url.get_secret_value()
    engine = open_engine(url)
    arguments = engine.dialect.create_connect_args(engine.url)[1]
    assert (arguments["user"], arguments["dbname"]) == ("mms", "mms")
    return arguments["password"], arguments["host"]


def of_replica(login: str) -> tuple[Any, Any]:
    read = settings(
        db_url=f"postgresql://mms:{login}@primary.example/mms",
        db_read_url=f"postgresql://mms:{login}@{HOST}/mms",
    )
    assert read.db_read_url is not None
    url = make_url(read.db_read_url.get_secret_value())
    return url.password, url.host


def of_base_url(name: str) -> Read:
    def read(login: str) -> tuple[Any, Any]:
        """What the host gets as its header Authorization."""
        # Without TLS, which is for this machine alone, no certificates are read.
        base_url = getattr(settings(**{name: f"http://mms:{login}@localhost/v4"}), name)
        host = FakeHost([answer([])])
        with door(host, base_url=base_url.get_secret_value()) as http:
            http.get_json("x", {})
        (request,) = host.requests
        assert request.url.path == "/v4/x"
        kind, _, encoded = request.headers["authorization"].partition(" ")
        user, _, password = b64decode(encoded).decode().partition(":")
        assert (kind, user) == ("Basic", "mms")
        return password, HOST if request.url.host == "localhost" else request.url.host

    return read


def of_proxy(login: str) -> tuple[Any, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy"):
            patch.delenv(name, raising=False)
        patch.setenv("http_proxy", f"http://mms:{login}@{HOST}:3128")
        proxy = network_to("http://exchange.example").proxy  # without TLS: no certificates are read
    assert proxy is not None
    user, password = proxy.client.raw_auth or (b"", b"")
    assert user == b"mms"
    return password.decode(), proxy.client.url.host


def of_cache(login: str) -> tuple[Any, Any]:
    return settings(cache_url=f"memcached://mms:{login}@{HOST}:11211"), ""


READERS: dict[str, Read] = {
    "DB_URL": of_database,
    "DB_READ_URL": of_replica,
    "CACHE_URL": of_cache,
    "http_proxy": of_proxy,
    **{name.upper(): of_base_url(name) for name in BASE_URLS},
}
FIXES = ("percent-encode", "with %40 for an @ in the password", "without a user or password")


@pytest.mark.parametrize("name", READERS)
def test_a_password_means_itself_or_is_refused_with_the_fix(name: str) -> None:
    outcomes = {"accepted": 0, "refused": 0}
    for password in PASSWORDS:
        for login in (password, quote(password, safe="")):
            try:
                read = READERS[name](login)
            except ConfigurationError as error:
                said = str(error)
                assert any(fix in said for fix in FIXES), (login, said)
                assert "Zq7" not in said
                outcomes["refused"] += 1
                assert name == "CACHE_URL" or login == password != quote(password, safe="")
            else:
                assert read == (unquote(login), HOST), login
                outcomes["accepted"] += 1
    assert outcomes["refused"] > 0
