"""Database URLs: what is read, what is refused, and that no password is ever repeated."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from app.core.errors import ConfigurationError
from app.core.setting_urls import database_url
from app.core.settings import Settings
from app.db.database import open_engine
from tests.support.api import settings


@pytest.mark.parametrize(
    "url",
    [
        *["sqlite:///./data/mms.db", "sqlite:////a b@c.db", "sqlite:///file:m.db?mode=ro&uri=true"],
        *[
            "postgresql://",
            "postgresql+psycopg:///mms",
            "postgresql://db:5432",
            "postgresql://a,b/m",
        ],
        *["postgresql://mms:sec[ret/?#:@db/mms", "postgresql://mms@server:secret@db/mms"],
        *["postgresql://mms:p%40ss@[::1]:5432/mms?sslmode=require", "postgresql://mms:@db/mms"],
        *["postgresql:///m?host=a:5432&host=b", "postgresql:///m?host=a,b&port=5432,5433"],
        *["postgresql:///m?host=/run/postgresql&port=5433", "postgresql://db/m?port=5433"],
    ],
)
def test_a_url_that_sqlalchemy_reads_is_taken_as_it_is(url: str) -> None:
    assert settings(db_url=url).db_url.get_secret_value() == url


def test_the_short_name_of_postgresql_is_read_as_the_long_one() -> None:
    """libpq takes both; hosts such as Heroku write the short one."""
    read = settings(
        db_url="postgres://mms:secret@h/n", db_read_url="postgres://mms:secret@replica/n"
    )
    assert read.db_url.get_secret_value() == "postgresql://mms:secret@h/n"
    assert read.db_read_url is not None
    assert read.db_read_url.get_secret_value() == "postgresql://mms:secret@replica/n"
    assert "secret" in read.secrets()


@pytest.mark.parametrize(
    "url",
    [
        *["x", "sqlite:mms.db", "sqlite://mms:secret@db/mms", "sqlite://folder/mms.db"],
        *["mysql://u:secret@h/n", "postgres:/u:secret@h/n", " postgresql://u:secret@h/n"],
        *[
            "postgresql://u:sec@ret@h/n",
            "postgresql://u:se@c/ret@h/n",
            "postgresql://u:s@h/n?c@ret",
        ],
        *["postgresql://u:secret@h:70000/n", "postgresql://u:secret@h:", "postgresql://u:secret"],
        *[
            "postgresql://u:secret@[bad",
            "postgresql://u:secret@h]/n",
            "postgresql://u:sec\nret@h/n",
        ],
        *["postgresql:///n?host=a:1&host=b:x", "postgresql:///n?host=a,b&port=5432"],
        *["postgresql:///n?host=a:1&host=b:1&port=1", "postgresql:///n?port=1,2"],
        "postgresql:///n?port=x",
    ],
)
def test_what_is_no_url_of_a_database_is_refused_with_one_that_would_do(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(db_url=url)
    said = str(caught.value)
    assert said.startswith("DB_URL: is not a URL of SQLite or PostgreSQL; write sqlite:///")
    assert "%40" in said
    assert "sec" not in said
    assert "ret" not in said


PARTS = st.sampled_from(
    [
        *[
            "postgresql://",
            "postgresql+psycopg://",
            "@",
            ":",
            "/",
            "?",
            "&",
            ",",
            "[",
            "]",
            "%40",
            " ",
        ],
        *["mms", "db.example", "5432", "host=", "port=", "a:1", "::1", "sslmode=require", "%", "#"],
    ]
)


@given(st.lists(PARTS, max_size=12).map(lambda parts: "postgresql://" + "".join(parts)))
def test_whatever_the_settings_take_can_be_opened(url: str) -> None:
    try:
        database_url(url)
    except ValueError:
        assume(False)
    with suppress(ConfigurationError):  # an option that libpq does not have
        open_engine(url).dispose()


LETTERS = "QXZJKVW479"  # no four of them are part of a message
PASSWORDS = st.text(st.sampled_from(LETTERS * 3 + "@:/?#[]% &=,;$"), min_size=6, max_size=24)
DATABASES = st.sampled_from(
    [
        *["postgresql://mms:{}@db.example:5432/mms", "postgresql://mms:{}@db.example:port/mms"],
        *["postgresql://mms:{}@db.example:99999/mms", "postgres://mms:{}@db.example/mms"],
        *[
            "sqlite://mms:{}@db.example/mms",
            "mysql://mms:{}@[db.example/mms",
            "mms:{}@db.example/mms",
        ],
        *[" postgresql://mms:{}@db example/mms ", "postgresql:/mms:{}@db.example/mms", "{}"],
        *["postgresql://db.example/mms?password={}", "postgresql://mms:{}\n@db.example/mms"],
    ]
)
BASES = st.sampled_from(
    [
        *["https://mms:{}@h.example/v4", "https://mms:{}@h.example:port", "ftp://mms:{}@h.example"],
        *[
            "https://mms:{}@h example",
            "https://mms:{}@[h.example",
            "https://h.example/?key={}",
            "{}",
        ],
    ]
)
CACHES = st.sampled_from(
    ["memcached://mms:{}@a:11211", "redis://:{}@a:6379", "memcached://a:11211,{}", "{}"]
)
KEYS = st.sampled_from(["{}", "CG-{}", '"{}"', "{} "])


@given(
    database=DATABASES, replica=DATABASES, base=BASES, cache=CACHES, key=KEYS, password=PASSWORDS
)
@pytest.mark.parametrize("escaped", [False, True])
def test_no_part_of_a_password_is_repeated_by_an_error_or_by_the_settings(
    database: str, replica: str, base: str, cache: str, key: str, password: str, escaped: bool
) -> None:
    secret = quote(password, safe="") if escaped else password
    values: dict[str, Any] = {
        "db_url": database.format(secret),
        "db_read_url": replica.format(secret),
        "cache_url": cache.format(secret),
        **dict.fromkeys((name for name in Settings.model_fields if "base_url" in name), base),
        "coingecko_api_key": key.format(secret),
    }
    values = {name: value.format(secret) for name, value in values.items()}
    for given_values in (values, *({name: value} for name, value in values.items())):
        try:
            read = settings(**given_values)
            said = f"{read!r} {read}"
        except ConfigurationError as error:
            said = str(error)
        try:
            Settings(**given_values)
        except ValidationError as error:
            said += str(error)
        for text in (password, secret):
            assert not [part for part in _parts(text) if part in said], said


def _parts(password: str) -> list[str]:
    """Every four letters of it that stand side by side, but for what is all punctuation."""
    parts = [password[at : at + 4] for at in range(len(password) - 3)]
    return [part for part in parts if any(letter in LETTERS for letter in part)]


@given(PASSWORDS)
def test_an_escaped_password_is_read_back_whole(password: str) -> None:
    url = f"postgresql://mms:{quote(password, safe='')}@db.example:5432/mms"
    parts = make_url(settings(db_url=url).db_url.get_secret_value())
    assert (parts.password, parts.host, parts.port) == (password, "db.example", 5432)
