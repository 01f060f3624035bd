"""DB_READ_URL: what is a replica of what."""

from __future__ import annotations

import pytest

from tests.support.api import refused, settings

PRIMARY = "postgresql://mms:s%5Bcret@db.example:5432/mms?sslmode=require"


def test_there_is_no_replica_by_default() -> None:
    assert settings().db_read_url is None
    for none in (None, "", "none://"):
        assert settings(db_url=PRIMARY, db_read_url=none).db_read_url is None
        assert settings(db_read_url=none).db_read_url is None


@pytest.mark.parametrize(
    "replica",
    [
        PRIMARY.replace("db.example", "replica.example"),
        PRIMARY.replace("5432", "5433"),
        "postgresql+psycopg://mms:s%5bcret@/mms?host=a:5432&host=b:5432&sslmode=require",
    ],
)
def test_a_replica_differs_from_the_primary_in_host_or_port(replica: str) -> None:
    read_url = settings(db_url=PRIMARY, db_read_url=replica).db_read_url
    assert read_url is not None
    assert read_url.get_secret_value() == replica


@pytest.mark.parametrize(
    ("part", "other", "named"),
    [
        ("mms:", "reader:", "user"),
        ("s%5Bcret", "hidden", "password"),
        ("/mms?", "/hidden?", "database"),
        ("?sslmode=require", "?sslmode=disable", "options"),
        ("?sslmode=require", "", "options"),
    ],
)
def test_whatever_else_differs_is_named_and_not_shown(part: str, other: str, named: str) -> None:
    replica = PRIMARY.replace(part, other).replace("db.example", "replica.example")
    said = refused(db_url=PRIMARY, db_read_url=replica)
    assert f"DB_READ_URL differs from DB_URL in {named}, " in said
    assert "cret" not in said
    assert "hidden" not in said


@pytest.mark.parametrize("wrong", ["sqlite:///./data/other.db", "mysql://u@h/n", "replica.example"])
def test_only_postgresql_has_replicas(wrong: str) -> None:
    said = refused(db_url=PRIMARY, db_read_url=wrong)
    assert said.startswith("DB_READ_URL: is not a URL of a PostgreSQL replica")
    assert "leave it empty" in said


def test_sqlite_has_no_replica() -> None:
    assert "DB_URL is SQLite, which has none" in refused(db_read_url=PRIMARY)
