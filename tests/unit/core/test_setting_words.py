"""What is said of a value that a setting cannot have."""

from __future__ import annotations

import pytest

from app.core.errors import ConfigurationError
from app.core.settings import Settings
from tests.support.api import settings


def refused(name: str, value: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        settings(**{name.lower(): value})
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CACHE_TTL_SECONDS", "x", "is no whole number from 1 to 2592000"),
        ("CACHE_TTL_SECONDS", "1.5", "is no whole number from 1 to 2592000"),
        ("CACHE_TTL_SECONDS", "0", "is no whole number from 1 to 2592000"),
        ("PORT", "70000", "is no whole number from 0 to 65535"),
        ("PORT", "9" * 5000, "is no whole number from 0 to 65535"),
        ("MB_REQUESTS_PER_SECOND", "0", "is no number from 0.001 to 10000"),
        ("MB_REQUESTS_PER_SECOND", "fast", "is no number from 0.001 to 10000"),
        ("COINGECKO_REQUESTS_PER_SECOND", "1e-300", "is no number from 0.001 to 10000"),
        ("MB_REQUESTS_PER_SECOND", "nan", "is no number from 0.001 to 10000"),
        ("ENV", "production", "is none of dev, prod"),
        ("LOG_LEVEL", "loud", "is none of DEBUG, INFO, WARNING, ERROR"),
        ("SINGLE_NODE", "maybe", "is neither true nor false"),
    ],
)
def test_a_refusal_names_the_setting_its_value_and_what_is_allowed(
    name: str, value: str, said: str
) -> None:
    assert refused(name, value).lower() == f"{name}={value}: {said}".lower()


def test_no_setting_is_refused_in_the_words_of_the_library() -> None:
    tried = 0
    for name in Settings.model_fields:
        if name in ("host", "coingecko_api_key"):  # any text may be one
            continue
        for value in ("?", "\u0000"):
            said = refused(name, value)
            assert said.startswith(name.upper())
            for word in ("Input should", "valid ", "unable to", "type="):
                assert word not in said
            tried += 1
    assert tried > 40
