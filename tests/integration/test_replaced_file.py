"""A SQLite file that is not there, or is there no more: named, and never made by the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from app.core.errors import ConfigurationError, StoreUnusable
from app.db import schema
from app.db.database import open_engine
from app.db.session import ping, reading, transaction
from app.db.stores.series import SqlSeriesStore
from tests.support.candles import BTC_DAILY
from tests.support.processes import api_server, ended, process


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a database lies."""
    return tmp_path / "mms.db"


@pytest.fixture
def engine(file: Path) -> Iterator[Engine]:
    """An engine that has it open."""
    made = open_engine(f"sqlite:///{file}")
    schema.migrate(made)
    ping(made)
    yield made
    made.dispose()


def remove(file: Path) -> None:
    """Delete the file and what SQLite keeps beside it."""
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()


def test_a_file_that_is_not_there_is_named_and_not_made(file: Path) -> None:
    engine = open_engine(f"sqlite:///{file}")
    for ask in (ping, lambda engine: SqlSeriesStore(engine).state(BTC_DAILY)):
        with pytest.raises(StoreUnusable, match=f"no database at {file}.*python -m app migrate"):
            ask(engine)
    with pytest.raises(StoreUnusable, match="no database at"), transaction(engine):
        pytest.fail("there is nothing to write to")
    engine.dispose()
    assert list(file.parent.iterdir()) == []


def test_a_start_in_production_makes_no_file(tmp_path: Path) -> None:
    prod = {"ENV": "prod", "SINGLE_NODE": "true", "ALLOWED_HOSTS": "localhost"}
    prod |= {"COLLECT_ACCESS": "off"}
    with process(tmp_path, "-m", "app.serve", "--port", "0", **prod) as child:
        code, said = ended(child)
    first, sentence = said.splitlines()
    assert code == 2
    assert "database_in_use" in first
    assert "python -m app migrate" in sentence
    assert list(tmp_path.iterdir()) == []


def test_a_server_whose_file_was_deleted_says_so_until_there_is_a_new_one(tmp_path: Path) -> None:
    file = tmp_path / "mms.db"
    url = f"sqlite:///{file}"
    with api_server({"DB_URL": url}, tmp_path) as api:
        assert api.ask("GET", "/health")[0] == 200
        remove(file)
        status, _, body = api.ask("GET", "/BTC-BRL/candles")
        assert (status, body["code"]) == (503, "database-unavailable")
        assert api.ask("POST", "/collect-once/BTC")[0] == 503
        assert not file.exists()
        with process(tmp_path, "-m", "app.commands.migrate", DB_URL=url) as child:
            assert ended(child)[0] == 0
        assert api.ask("GET", "/health")[2]["database"] == "ok"


def test_no_connection_goes_on_with_a_file_that_another_has_taken_the_place_of(
    engine: Engine, file: Path
) -> None:
    with reading(engine) as one, reading(engine) as two:
        assert one.scalar(text("SELECT 1")) == two.scalar(text("SELECT 1"))
    remove(file)
    schema.migrate(engine)
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE mark (x)"))
    with reading(engine) as one, reading(engine) as two:
        for each in (one, two):
            assert each.scalar(text("SELECT count(*) FROM mark")) == 0


def test_no_file_is_made_beside_the_changes_of_one_that_is_gone(engine: Engine, file: Path) -> None:
    file.unlink()
    left = sorted(file.parent.iterdir())
    with pytest.raises(ConfigurationError, match=r"mms\.db-wal.*remove what is left"):
        schema.migrate(engine)
    assert sorted(file.parent.iterdir()) == left


def test_a_file_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    engine = open_engine(f"sqlite:///{folder}/mms.db")
    folder.rmdir()
    with pytest.raises(
        ConfigurationError, match=f"DB_URL's file {folder}/mms.db cannot be created"
    ):
        schema.migrate(engine)
    engine.dispose()
