"""A damaged SQLite file is found before anything is written to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from app import bootstrap
from app.commands import migrate
from app.core.errors import StoreUnusable
from app.db import schema
from app.db.database import open_engine
from app.db.sqlite import QUICK, require_sound
from app.db.stores.series import SqlSeriesStore
from tests.support.api import settings
from tests.support.candles import BTC_DAILY, candle, day

PAGE = 4_096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with a thousand candles."""
    path = tmp_path / "mms.db"
    engine = open_engine(f"sqlite:///{path}")
    schema.migrate(engine)
    with SqlSeriesStore(engine).begin(BTC_DAILY) as unit:
        unit.put_candles([candle(day(number), 10**10 + number) for number in range(1_000)])
        unit.finish(changed=True, now=day(1_000))
    engine.dispose()
    return path


def damage(path: Path) -> bytes:
    """Overwrite the first page of the candles; returns what the file holds then."""
    with closing(sqlite3.connect(path)) as connection:
        wanted = "SELECT rootpage FROM sqlite_master WHERE name = 'candles'"
        (root,) = connection.execute(wanted).fetchone()
    whole = path.read_bytes()
    path.write_bytes(whole[: (root - 1) * PAGE] + b"\xff" * PAGE + whole[root * PAGE :])
    return path.read_bytes()


def check(path: Path, most: int | None = None) -> None:
    engine = open_engine(f"sqlite:///{path}")
    try:
        require_sound(engine, most)
    finally:
        engine.dispose()


def test_a_whole_file_is_sound_and_one_that_is_not_there_is_not_made(
    file: Path, tmp_path: Path
) -> None:
    check(file)
    check(file, QUICK)
    check(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_damaged_page_is_found_and_the_file_stays_as_it_is(file: Path) -> None:
    before = damage(file)
    with pytest.raises(StoreUnusable, match=r"is damaged \(.+\): restore .+; it was not changed$"):
        check(file)
    with pytest.raises(StoreUnusable):
        check(file, len(before))
    assert file.read_bytes() == before


def test_a_file_that_is_larger_than_one_would_read_is_not_read(file: Path) -> None:
    size = len(damage(file))
    check(file, size - 1)


@pytest.mark.parametrize("create", [True, False])
def test_a_command_does_not_begin_on_a_damaged_file(file: Path, create: bool) -> None:
    before = damage(file)
    with pytest.raises(StoreUnusable, match="was not changed"):
        bootstrap.for_command(settings(db_url=f"sqlite:///{file}"), create=create)
    assert file.read_bytes() == before


def test_the_api_goes_on_reading_what_is_whole(file: Path) -> None:
    damage(file)
    made = bootstrap.for_api(settings(db_url=f"sqlite:///{file}"))
    assert made.health.database_works()
    made.close()


def test_a_damaged_file_is_not_migrated(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = damage(file)
    monkeypatch.setenv("DB_URL", f"sqlite:///{file}")
    assert migrate.main([]) == 2
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence.startswith("migrate: DB_URL's file is damaged (")
    assert file.read_bytes() == before
