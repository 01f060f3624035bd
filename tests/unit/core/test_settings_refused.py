"""What stops the start: the line that names the setting, the problem and the fix."""

from __future__ import annotations

import pytest

from app.core.setting_urls import cache_nodes
from app.core.settings import OWN_ADDRESSES, Settings
from app.main import create_app
from tests.support.api import refused, settings


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("CACHE_TTL_SECONDS", "1.5", "is not a whole number from 1 to 2592000"),
        ("PORT", "70000", "is not a whole number from 0 to 65535"),
        ("HEADER_TIMEOUT_SECONDS", "10s", "is not a whole number from 1 to 3600"),
        ("MB_REQUESTS_PER_SECOND", "0", "is not a number from 0.001 to 10000"),
        ("UPSTREAM_RETRY_SECONDS", "nan", "is not a number above 0, up to 3600"),
        ("ENV", "production", "'dev' or 'prod'"),
        ("SINGLE_NODE", "maybe", "boolean"),
        ("ALLOWED_PAIRS", ",", "write one item or several"),
        ("ALLOWED_SYMBOLS", "BTC,BTC:other", "name each once"),
    ],
)
def test_a_refusal_names_the_setting_its_value_and_what_is_allowed(
    name: str, value: str, allowed: str
) -> None:
    said = refused(**{name.lower(): value})
    assert said.startswith(f"{name}={value}: ")
    assert allowed in said


def test_every_refusal_is_one_line_that_begins_with_the_settings_name() -> None:
    for name in Settings.model_fields.keys() - {"api_keys_file"}:  # any text may be a path
        said = refused(**{name: "a\u00a0b"})
        assert said.startswith(name.upper())
        assert "\n" not in said
        assert ("a\u00a0b" in said.lower()) is Settings.model_fields[name].repr


def test_a_cache_has_nodes() -> None:
    written = "memcached://a:11211, [::1]:11212,a:11211"
    assert cache_nodes(settings(cache_url=written).cache_url.get_secret_value()) == [
        ("a", 11211),
        ("::1", 11212),
    ]


@pytest.mark.parametrize(
    "url",
    [
        *["memcached://a:11211,b", "memcached://a:70000", "memcached://a:0", "redis://a:6379"],
        *["memcached://mms:quite-secret@a:11211", "memcached://[::1:11211", "memcached://a b:1"],
    ],
)
def test_what_is_no_cache_is_refused_without_its_value(url: str) -> None:
    said = refused(cache_url=url)
    assert said.startswith(
        "CACHE_URL: is not the URL of a cache; write memory://, none://, or memcached://host:"
    )
    assert "quite-secret" not in said


BASES = sorted(name for name in Settings.model_fields if "base_url" in name)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" https://api.coingecko.com/api/v3/ ", "https://api.coingecko.com/api/v3"),
        ("http://[::1]:8080/api/v4", "http://[::1]:8080/api/v4"),
        ("http://sandbox_1:8080", "http://sandbox_1:8080"),
        ("https://user:pass@Exchange.example:443/v4//", "https://user:pass@exchange.example/v4"),
    ],
)
def test_a_base_url_is_taken_without_slashes_at_its_end(written: str, read: str) -> None:
    for name in BASES:
        assert getattr(settings(**{name: written}), name).get_secret_value() == read


@pytest.mark.parametrize(
    "url",
    [
        *["https://h.example:99999", "http://[::1", "http://a..b", f"http://{64 * 'a'}.b"],
        *["https://h/?", "https://h/v4#x", "ftp://h", "exchange.example/v4", "https://"],
    ],
)
def test_what_is_no_base_url_is_refused_without_its_value(url: str) -> None:
    for name in BASES:
        said = refused(**{name: url.replace("://", "://mms:quite-secret@")})
        assert said.startswith(f"{name.upper()}: is not a base URL (")
        assert "write https://host/path" in said
        assert "quite-secret" not in said


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("::", "::"),
        ("[::1]", "::1"),
        ("127.0.0.1, [::1] ,127.0.0.1", "127.0.0.1,::1"),
        ("::1,0:0:0:0:0:0:0:1", "::1"),
        ("fe80::1%eth0,mms.example", "fe80::1%eth0,mms.example"),
    ],
)
def test_it_listens_on_one_address_or_several(written: str, read: str) -> None:
    assert settings(host=written).host == read


@pytest.mark.parametrize(
    "host", [",", "::1,", "127.0.0.1:8000", "[::1]:80", "[127.0.0.1]", "http://x", "a b", ":::"]
)
def test_what_is_no_address_to_listen_on_is_refused(host: str) -> None:
    said = refused(host=host)
    assert said.startswith(f"HOST={host}: is not an address to listen on; write one or several")
    assert "::" in said


@pytest.mark.parametrize("path", ["", "/mms", "/api/v1.0/mms-2", "/MMS"])
def test_the_api_may_be_under_a_path(path: str) -> None:
    assert settings(root_path=path).root_path == path


@pytest.mark.parametrize(
    "path",
    [
        "mms",
        "/",
        "/mms/",
        "//mms",
        "/a//b",
        "/a?b",
        "/a#b",
        "/a b",
        "/a%20b",
        "/../a",
        "/a/.",
        "/é",
    ],
)
def test_what_is_no_path_to_be_under_is_refused(path: str) -> None:
    said = refused(root_path=path)
    assert said.startswith(f"ROOT_PATH={path}: is not a path to be under; write one like /mms")


@pytest.mark.parametrize("path", ["/docs", "/history/a", "/pairs/", "/brlbtc", "/BTC-BRL/x"])
def test_the_path_is_none_of_the_apis_own(path: str) -> None:
    assert f"ROOT_PATH={path}" in refused(root_path=path)


def test_the_apis_own_addresses_are_those_of_its_routes() -> None:
    documented = {path.split("/")[1] for path in create_app(settings()).api.openapi()["paths"]}
    others = {"docs", "openapi.json", "page"}
    assert (documented - {"", "{pair}"}) | others == OWN_ADDRESSES
