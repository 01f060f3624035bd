"""DB_URL: what is no database, and how it is said."""

from __future__ import annotations

import pytest

from app.core.errors import ConfigurationError
from tests.support.api import settings

BROKEN = ["postgresql://mms:secret@[bad", "postgresql://mms:sec[ret@db/mms", "mysql://u@h/n", "x"]


@pytest.mark.parametrize("url", BROKEN)
def test_a_url_of_no_database_is_refused_with_one_that_would_do(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(db_url=url)
    said = str(caught.value)
    assert said.startswith("DB_URL: is no URL of SQLite or PostgreSQL; write sqlite:///")
    assert "sec" not in said


def test_a_replicas_url_that_cannot_be_read_is_refused_likewise() -> None:
    with pytest.raises(ConfigurationError, match=r"^DB_READ_URL: is no URL .*; write postgresql:"):
        settings(db_url="postgresql://db/mms", db_read_url="postgresql://mms:secret@[bad")
