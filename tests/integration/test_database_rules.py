"""How the schema comes to be, and which databases are refused."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, text

from app.commands import migrate
from app.core.errors import ConfigurationError, StoreUnavailable, StoreUnusable
from app.db import schema
from app.db.database import open_engine
from app.db.models import METADATA
from app.db.session import ping, transaction
from app.db.sqlite import write_ahead
from app.db.stores.series import SqlSeriesStore
from tests.support.candles import BTC_DAILY, daily, day
from tests.support.postgres import Postgres


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    """A migrated database of each kind."""
    made = open_engine(db_url)
    schema.migrate(made)
    yield made
    made.dispose()


def test_the_migrations_build_exactly_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, METADATA) == []


def test_the_code_and_the_migrations_agree_on_the_newest_version() -> None:
    scripts = ScriptDirectory(str(Path(schema.__file__).parent / "migrations"))
    assert scripts.get_heads() == [schema.HEAD]


def test_many_may_migrate_at_once(db_url: str) -> None:
    start = threading.Barrier(6)
    done: list[bool] = []

    def one() -> None:
        engine = open_engine(db_url)
        start.wait(timeout=10)
        done.append(schema.migrate(engine))
        engine.dispose()

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(done) == [False] * 5 + [True]


def test_a_file_that_stays_locked_cannot_change_its_mode_and_the_wait_ends(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mms.db"
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN IMMEDIATE")
    engine = open_engine(f"sqlite:///{file}")
    waits: list[float] = []
    try:
        with pytest.raises(StoreUnavailable, match="locked"):
            write_ahead(engine, waits.append)
        assert 4.9 <= sum(waits) <= 5.1
        holder.execute("ROLLBACK")
        write_ahead(engine, waits.append)
    finally:
        holder.close()
        engine.dispose()


def test_looking_at_another_programs_file_changes_no_byte_of_it(tmp_path: Path) -> None:
    file = tmp_path / "customers.db"
    with closing(sqlite3.connect(file)) as foreign:
        foreign.execute("CREATE TABLE customers (name TEXT)")
        foreign.commit()
    before = file.read_bytes()
    engine = open_engine(f"sqlite:///{file}")
    try:
        for refuses in (schema.migrate, schema.require, ping):
            with pytest.raises(StoreUnusable):
                refuses(engine)
    finally:
        engine.dispose()
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_an_empty_database_is_refused_with_the_command_that_mends_it(db_url: str) -> None:
    engine = open_engine(db_url)
    try:
        with pytest.raises(StoreUnusable, match="python -m app migrate"):
            schema.require(engine)
        with pytest.raises(StoreUnusable, match="python -m app migrate"):
            ping(engine)
        with pytest.raises(StoreUnusable, match="python -m app migrate"):
            SqlSeriesStore(engine).state(BTC_DAILY)
    finally:
        engine.dispose()


def test_a_database_of_a_newer_program_is_refused(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refuses in (schema.require, schema.migrate):
        with pytest.raises(StoreUnusable, match="newer"):
            refuses(engine)


def test_a_migration_that_fails_says_so_and_changes_nothing(postgres_server: Postgres) -> None:
    made = open_engine(url := postgres_server.create())
    try:
        with transaction(made) as connection:
            schema.upgrade(connection, "0004")
            connection.execute(text("CREATE TABLE gates (a TEXT)"))
        with pytest.raises(
            StoreUnusable, match=r"from version 0004 .* nothing was changed: .*gates"
        ):
            schema.migrate(made)
        assert schema.version(made) == "0004"
    finally:
        made.dispose()
        postgres_server.drop(url)


def test_a_newer_schema_that_only_adds_is_worked_on_and_left_as_it_is(engine: Engine) -> None:
    """A deployment goes back to this program after a newer one has migrated."""
    newer = f"9999_from_{schema.HEAD[:4]}"
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": newer})
    schema.require(engine)
    assert schema.migrate(engine) is False
    assert schema.version(engine) == newer


@pytest.mark.parametrize(
    ("current", "head", "only_adds"),
    [
        ("0006_from_0005", "0005", True),
        ("0007_from_0006", "0005", False),
        ("0006", "0005", False),
        ("0005", "0005", False),
        ("0004_from_0003", "0005", False),
    ],
)
def test_the_name_of_a_migration_says_who_can_work_on_what_it_leaves(
    current: str, head: str, only_adds: bool
) -> None:
    assert schema.only_adds(current, head) is only_adds


def test_a_locked_sqlite_file_is_an_answer_in_time_not_a_crash(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    schema.migrate(engine)
    foreign = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    foreign.execute("BEGIN EXCLUSIVE")
    try:
        impatient = create_engine(sqlite_url, connect_args={"timeout": 0.1})
        with pytest.raises(StoreUnavailable, match="locked"), transaction(impatient):
            pass
        impatient.dispose()
        # Readers do not wait for a writer.
        assert SqlSeriesStore(engine).state(BTC_DAILY).revision == 0
    finally:
        foreign.close()
        engine.dispose()


def test_a_full_disk_is_named_and_nothing_of_the_transaction_stays(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    schema.migrate(engine)
    store = SqlSeriesStore(engine)

    @event.listens_for(engine, "connect")
    def _full(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA max_page_count=1").close()  # as many as there are by now

    engine.dispose()

    def write() -> None:
        with store.begin(BTC_DAILY) as unit:
            unit.put_candles(daily(range(5_000)))
            unit.finish(changed=True, now=day(6_000))

    with pytest.raises(StoreUnavailable, match="make room"):
        write()
    assert (store.state(BTC_DAILY).revision, store.rows(BTC_DAILY, 0, day(9))[1]) == (0, [])
    engine.dispose()


def test_a_postgres_that_is_not_there_is_unavailable() -> None:
    engine = open_engine("postgresql://mms@127.0.0.1:1/mms")
    with pytest.raises(StoreUnavailable, match="does not answer"):
        ping(engine)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_work_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"DB_URL.*write .*sqlite:///"):
        open_engine(url)


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="folder"):
        open_engine(f"sqlite:///{tmp_path}/file/mms.db")


def test_a_file_that_cannot_be_opened_or_written_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "mms.db").touch()
    for url in (
        f"sqlite:///{tmp_path}/folder",
        f"sqlite:///file:{tmp_path}/mms.db?mode=ro&uri=true",
    ):
        engine = open_engine(url)
        with pytest.raises(StoreUnavailable, match="DB_URL must name a file"):
            schema.migrate(engine)
        engine.dispose()


def test_a_float_cannot_be_bound_where_a_price_belongs(engine: Engine) -> None:
    from sqlalchemy.exc import StatementError

    from app.db.models import CANDLES

    with pytest.raises(StatementError, match="fixed-point"), engine.connect() as connection:
        connection.execute(CANDLES.select().where(CANDLES.c.close == 1.5))


def test_sqlite_is_in_wal_mode_and_loses_no_reported_commit(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    schema.migrate(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    engine.dispose()


def test_the_migrate_command_says_what_it_did(
    db_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DB_URL", db_url)
    assert migrate.main([]) == 0
    assert f"migrated to version {schema.HEAD}" in capsys.readouterr().err
    assert migrate.main([]) == 0
    assert "already" in capsys.readouterr().err
    monkeypatch.setenv("DB_URL", "mysql://x/y")
    assert migrate.main([]) == 2
    assert "DB_URL" in capsys.readouterr().err


def test_a_read_during_a_write_sees_the_last_commit_whole(engine: Engine) -> None:
    store = SqlSeriesStore(engine)
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(daily([1]))
        unit.finish(changed=True, now=day(5))
    before = store.rows(BTC_DAILY, 0, day(9))
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(daily([1, 2, 3], seed=2))
        unit.finish(changed=True, now=day(6))
        assert store.rows(BTC_DAILY, 0, day(9)) == before
    assert len(store.rows(BTC_DAILY, 0, day(9))[1]) == 3
