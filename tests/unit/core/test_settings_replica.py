"""DB_READ_URL: what is a replica of what."""

from __future__ import annotations

import pytest

from app.core.errors import ConfigurationError
from tests.support.api import settings

PRIMARY = "postgresql://mms:secret@db.example:5432/mms"


def refused(**values: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        settings(**values)
    return str(error.value)


def test_there_is_no_replica_by_default() -> None:
    assert settings().db_read_url is None
    for none in (None, "", "none://"):
        assert settings(db_url=PRIMARY, db_read_url=none).db_read_url is None
        assert settings(db_read_url=none).db_read_url is None


@pytest.mark.parametrize(
    "replica",
    [
        "postgresql://mms:secret@replica.example:5432/mms",
        "postgresql+psycopg://reader:other@replica.example/mms",
        "postgresql://mms:secret@db.example:5433/mms",
        # One list of hosts, and which of them is meant.
        f"{PRIMARY}?target_session_attrs=prefer-standby",
    ],
)
def test_a_replica_has_an_address_of_its_own(replica: str) -> None:
    assert settings(db_url=PRIMARY, db_read_url=replica).db_read_url == replica


@pytest.mark.parametrize(
    "same",
    [PRIMARY, "postgresql+psycopg://reader:other@DB.example/mms", "postgresql://db.example/mms"],
)
def test_the_primary_is_not_its_own_replica(same: str) -> None:
    said = refused(db_url=PRIMARY, db_read_url=same)
    assert "DB_READ_URL is DB_URL's own database" in said
    assert "leave DB_READ_URL empty" in said


@pytest.mark.parametrize("wrong", ["sqlite:///./data/other.db", "mysql://u@h/n", "replica.example"])
def test_only_postgresql_has_replicas(wrong: str) -> None:
    said = refused(db_url=PRIMARY, db_read_url=wrong)
    assert said.startswith("DB_READ_URL: is no URL of a PostgreSQL replica")
    assert "leave it empty" in said


def test_sqlite_has_no_replica() -> None:
    said = refused(db_read_url=PRIMARY)
    assert "DB_URL is SQLite, which has none" in said
    assert "secret" not in said


def test_a_refusal_does_not_repeat_the_password() -> None:
    assert "secret" not in refused(db_url=PRIMARY, db_read_url="mysql://mms:secret@replica/mms")
