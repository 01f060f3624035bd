"""Secrets that stand in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from app.core.setting_files import read_setting_files
from app.core.settings import SECRETS, load_settings

URL = "postgresql://mms:quite-secret@db:5432/mms"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "db_url"
    file.write_text(f"{URL}\n")
    return file


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def test_the_content_of_the_file_is_the_value_without_its_line_end(secret: Path) -> None:
    for name in ("DB_URL_FILE", "db_url_file"):
        assert read_setting_files(["DB_URL"], [{name: str(secret)}]) == {"DB_URL": URL}


def test_both_forms_in_one_place_are_refused(secret: Path) -> None:
    both = {"DB_URL": "sqlite:///x.db", "DB_URL_FILE": str(secret)}
    with pytest.raises(ConfigurationError, match="DB_URL and DB_URL_FILE are both set"):
        read_setting_files(["DB_URL"], [both])


def test_the_env_file_may_name_files_and_the_environment_is_stronger_in_either_form(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    # ENV_FILE and its like are other programs' variables.
    env_file.write_text(f"DB_URL_FILE={secret}\nENV_FILE=absent\n")
    assert load_settings(env_file).db_url == URL
    monkeypatch.setenv("DB_URL", "sqlite:///other.db")
    assert load_settings(env_file).db_url == "sqlite:///other.db"
    monkeypatch.delenv("DB_URL")
    env_file.write_text("DB_URL_FILE=never-opened\n")
    monkeypatch.setenv("DB_URL_FILE", str(secret))
    assert load_settings(env_file).db_url == URL


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe", "is no UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_by_name(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    place = {"COINGECKO_API_KEY_FILE": str(file)}
    with pytest.raises(ConfigurationError) as caught:
        read_setting_files(["COINGECKO_API_KEY"], [place])
    assert f"COINGECKO_API_KEY_FILE={file}: " in str(caught.value)
    assert problem in str(caught.value)


def test_a_bad_value_from_a_file_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "db_url"
    file.write_text("mysql://mms:quite-secret@db/mms")
    monkeypatch.setenv("DB_URL_FILE", str(file))
    with pytest.raises(ConfigurationError) as caught:
        load_settings(None)
    assert str(caught.value).startswith("DB_URL: is no URL of SQLite or PostgreSQL")
    assert "quite-secret" not in str(caught.value)
