"""Base URLs of the hosts that are asked: what cannot work stops the start."""

from __future__ import annotations

import pytest

from app.core.errors import ConfigurationError
from tests.support.api import settings

NAMES = ("mb_api_base_url", "mb_legacy_api_base_url", "coingecko_api_base_url")


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
    for name in NAMES:
        assert getattr(settings(**{name: written}), name) == read


@pytest.mark.parametrize(
    "rest",
    ["h.example:99999", "[::1", "256.1.1.1", "a..b", f"{64 * 'a'}.b", "h/?", "h/v4#x", 3_000 * "a"],
)
def test_what_is_no_base_url_stops_the_start_in_one_line_without_its_value(rest: str) -> None:
    for name, scheme in zip(NAMES, ("https", "http", "https"), strict=True):
        said = refusal(name, f"{scheme}://mms:quite-secret@{rest}")
        assert said.startswith(f"{name.upper()}: is no base URL (")
        assert "write https://host/path" in said
        assert "quite-secret" not in said
        assert "\n" not in said


@pytest.mark.parametrize("url", ["ftp://exchange.example", "exchange.example/v4", "https://"])
def test_a_base_url_is_of_http_or_https(url: str) -> None:
    assert "write https://host/path" in refusal(NAMES[0], url)


def refusal(name: str, url: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        settings(**{name: url})
    return str(error.value)
