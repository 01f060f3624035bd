"""Every start names its database first, and never a user or a password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog

from app.commands import migrate
from app.db.database import announce, open_engine
from tests.support.logs import log_as_before


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://mms:secret@db.example:5433/prices", "db.example:5433/prices"),
        ("postgresql+psycopg://mms:secret@db.example/prices", "db.example:5432/prices"),
        ("postgresql://mms:secret@/prices?host=a:5433&host=b:5434", "a:5433,b:5434/prices"),
        ("postgresql://mms:secret@/prices?host=a,b&port=1,2", "a:1,b:2/prices"),
        ("postgresql:///prices", "local:5432/prices"),
        ("sqlite:////srv/mms.db", "/srv/mms.db"),
    ],
)
def test_a_database_is_named_by_its_place_alone(
    url: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
    with structlog.testing.capture_logs() as lines:
        announce(url, "postgresql://mms:secret@replica/prices")
    assert [(line["database"], line["reads"]) for line in lines] == [(place, "replica:5432/prices")]


def test_a_relative_path_is_named_whole_and_its_new_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_URL", "sqlite:///./data/mms.db")
    monkeypatch.setenv("LOG_FORMAT", "json")
    with log_as_before():
        assert migrate.main([]) == 0
    first, second, *_ = map(json.loads, capsys.readouterr().err.splitlines()[:2])
    assert (first["event"], first["database"]) == (
        "database_in_use",
        str(tmp_path / "data" / "mms.db"),
    )
    assert (second["event"], second["path"]) == (
        "database_folder_created",
        str(tmp_path / "data"),
    )
    with structlog.testing.capture_logs() as lines:
        open_engine("sqlite:///./data/mms.db").dispose()
    assert lines == []
