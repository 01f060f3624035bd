"""The settings that say who may do what."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from app.core.settings import Settings, load_settings

DIGEST = sha256(b"a key").hexdigest()


def settings(**values: object) -> Settings:
    return load_settings(None, **values)


def refused(**values: object) -> str:
    with pytest.raises(ConfigurationError) as error:
        settings(**values)
    return str(error.value)


def test_origins_are_those_that_browsers_send() -> None:
    written = "https://App.example.com:443, http://localhost:3000,http://[::1]:80"
    assert settings(cors_origins=written).cors_origins == (
        "https://app.example.com",
        "http://localhost:3000",
        "http://[::1]",
    )


@pytest.mark.parametrize(
    "text",
    ["*", "null", "app.example.com", "https://a/", "https://a:0", "https://user:password@a"],
)
def test_what_is_no_origin_is_refused_and_not_repeated(text: str) -> None:
    said = refused(cors_origins=text)
    assert said.startswith("CORS_ORIGINS: holds what is no origin of a page")
    assert "password" not in said


def test_keys_are_refused_without_their_text() -> None:
    assert refused(api_keys="mms_quite-secret").startswith("API_KEYS: entry 1 is not id:scopes")
    assert "quite-secret" not in refused(api_keys="mms_quite-secret")


def test_the_path_of_keys_counts_only_where_they_come_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"ops:collect:2027-12-31:{DIGEST}\n")
    env_file = tmp_path / ".env"
    env_file.write_text(f"API_KEYS_FILE={file}\n")
    read = load_settings(env_file)
    assert ([key.id for key in read.api_keys], read.api_keys_file) == (["ops"], file)
    monkeypatch.setenv("API_KEYS", f"other:read:2027-12-31:{DIGEST}")
    read = load_settings(env_file)
    assert ([key.id for key in read.api_keys], read.api_keys_file) == (["other"], None)


def test_an_empty_file_of_keys_holds_none_so_that_loaders_start_after_the_last_is_revoked(
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys"
    file.write_text("\n")
    env_file = tmp_path / ".env"
    env_file.write_text(f"API_KEYS_FILE={file}\n")
    read = load_settings(env_file)
    assert (read.api_keys, read.api_keys_file) == ((), file)


def test_production_shares_no_cache_without_a_secret() -> None:
    prod = {"env": "prod", "single_node": True, "cache_url": "memcached://cache:11211"}
    assert refused(**prod).startswith("CACHE_SECRET is empty, CACHE_URL is memcached and ENV is")
    assert settings(**prod, cache_secret="0123456789abcdef").cache_secret is not None
    assert "too short" in refused(cache_secret="0123456789abcde")


def test_the_documentation_is_off_in_production_unless_it_is_switched_on() -> None:
    prod = settings(env="prod", single_node=True)
    assert (prod.has_docs, settings().has_docs) == (False, True)
    assert settings(env="prod", single_node=True, docs="on").has_docs
    assert not settings(docs="off").has_docs


def test_no_value_of_a_secret_stands_in_the_text_of_settings() -> None:
    values = {
        "db_url": "postgresql://mms:quite-secret@db/mms",
        "db_read_url": "postgresql://mms:quite-secret@replica/mms",
        "mb_api_base_url": "https://mms:quite-secret@exchange.example",
        "coingecko_api_key": "quite-secret",
        "cache_secret": "quite-secret-quite-secret",
        "api_keys": f"ops:read:2027-12-31:{DIGEST}",
    }
    text = repr(settings(**values)) + str(settings(**values).model_dump())
    assert "quite-secret" not in text
