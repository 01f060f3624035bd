"""Backups: of one moment, the same from either database, restored whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from app.core.errors import StoreUnavailable, StoreUnusable
from app.db import archive, schema
from app.db.archive import Manifest, Rows, TableBegins, verify
from app.db.backup import back_up, main
from app.db.content import BLOCK, OPERATIONAL, data_tables
from app.db.leases import SqlLeases
from app.db.models import Base
from app.db.prices import SqlPriceStore
from app.db.restoring import restore
from app.db.series import SqlSeriesStore
from app.db.session import SQLITE, open_engine, snapshot, transaction, write_ahead
from app.db.writes import insert
from tests.support.backups import (
    HIGHEST_ID,
    NOW,
    REVISION,
    ROWS,
    execute,
    fill,
    held,
    next_id,
    unchanged,
)
from tests.support.candles import BTC, DAY, daily, day
from tests.support.logs import log_as_before

Open = Callable[[str], Engine]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens databases that are closed at the end."""
    with ExitStack() as stack:

        def opening(url: str) -> Engine:
            engine = open_engine(url)
            stack.callback(engine.dispose)
            return engine

        yield opening


@pytest.fixture
def engine(db_url: str, opened: Open) -> Engine:
    """A filled database of each kind."""
    made = opened(db_url)
    schema.migrate(made)
    fill(made)
    return made


@pytest.fixture
def sqlite(tmp_path: Path, opened: Open) -> Engine:
    """A filled SQLite database."""
    made = opened(f"sqlite:///{tmp_path / 'filled.db'}")
    schema.migrate(made)
    fill(made)
    return made


@pytest.fixture
def file(sqlite: Engine, tmp_path: Path) -> Path:
    """A backup of it."""
    back_up(sqlite, tmp_path / "made.mmsb", lambda: NOW)
    return tmp_path / "made.mmsb"


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path, opened: Open) -> Iterator[Engine]:
    """A database of each kind in which there is nothing, not even tables."""
    if request.param == "sqlite":
        yield opened(f"sqlite:///{tmp_path / 'empty.db'}")
        return
    server = request.getfixturevalue("postgres_server")
    url = server.create()
    made = opened(url)
    yield made
    made.dispose()
    server.drop(url)


def test_the_rows_of_these_tests_fill_every_table_there_is() -> None:
    assert set(ROWS) == set(Base.metadata.tables) - OPERATIONAL


def test_a_backup_comes_back_into_either_database_with_its_revisions_and_ids(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    content = back_up(engine, tmp_path / "b.mmsb", lambda: NOW)
    assert {name: item.rows for name, item in content.tables.items()} == {
        name: len(rows) for name, rows in ROWS.items()
    }
    assert restore(empty, tmp_path / "b.mmsb", replace=False) == content
    assert held(empty) == held(engine) == content
    schema.require(empty)
    there, here = SqlSeriesStore(empty), SqlSeriesStore(engine)
    assert there.rows(BTC, DAY, 0, day(99)) == here.rows(BTC, DAY, 0, day(99))
    assert there.state(BTC, DAY).revision == REVISION
    assert [p.id for p in SqlPriceStore(empty).newest("BTC", "usd", 9)] == [HIGHEST_ID, 3]
    assert next_id(empty) == HIGHEST_ID + 1


def test_the_same_content_has_the_same_hash_everywhere_and_any_change_another(
    engine: Engine, sqlite: Engine
) -> None:
    seen = {held(sqlite).sha256}
    assert {held(engine).sha256} == seen
    for number, change in enumerate(
        (
            "UPDATE series SET revision = revision + 1 WHERE interval = '1h'",
            "UPDATE averages SET mms_20 = NULL WHERE mms_20 = 33",
            "UPDATE prices SET id = 18 WHERE id = 17",
            "DELETE FROM absences",
            "UPDATE quarantine SET reason = 'e' WHERE reason = 'é'",
        ),
        start=2,
    ):
        assert execute(engine, change) == 1
        seen.add(held(engine).sha256)
        assert len(seen) == number


def test_every_column_is_of_a_kind_that_a_backup_can_carry(engine: Engine) -> None:
    with snapshot(engine) as connection:
        tables = data_tables(connection)
    kinds = {column.type.python_type for table in tables for column in table.columns}
    assert kinds <= {int, str, bool}


def test_what_processes_do_at_the_moment_is_not_data(
    sqlite: Engine, empty: Engine, tmp_path: Path
) -> None:
    with unchanged(sqlite):
        SqlLeases(sqlite).take("load", NOW)
    back_up(sqlite, tmp_path / "b.mmsb", lambda: NOW)
    restore(empty, tmp_path / "b.mmsb", replace=False)
    assert SqlLeases(empty).take("load", NOW) is None
    restore(empty, tmp_path / "b.mmsb", replace=True)
    assert SqlLeases(empty).take("load", NOW) is not None


def test_an_id_is_never_given_twice_though_its_row_was_removed(
    file: Path, empty: Engine, tmp_path: Path
) -> None:
    restore(empty, file, replace=False)
    last = next_id(empty)
    SqlPriceStore(empty).prune(100)
    for number in range(2):
        back_up(empty, tmp_path / f"{number}.mmsb", lambda: NOW)
        restore(empty, tmp_path / f"{number}.mmsb", replace=True)
    assert next_id(empty) == last + 1


def test_a_backup_is_of_one_moment_whatever_is_written_meanwhile(
    engine: Engine, tmp_path: Path
) -> None:
    before = held(engine)

    def clock() -> float:
        """Asked once the backup has begun, and before it has read a row."""
        with SqlSeriesStore(engine).begin(BTC, DAY) as unit:
            unit.put_candles(daily(range(30, 60), seed=2))
            unit.finish(changed=True, now=day(70))
        next_id(engine)
        return NOW

    assert back_up(engine, tmp_path / "b.mmsb", clock) == before
    assert verify(tmp_path / "b.mmsb").content == before
    assert held(engine) != before


def test_a_database_with_data_is_replaced_only_where_that_was_said(
    engine: Engine, file: Path
) -> None:
    execute(engine, "DELETE FROM prices")
    with unchanged(engine), pytest.raises(StoreUnusable, match="--replace"):
        restore(engine, file, replace=False)
    assert restore(engine, file, replace=True) == held(engine) == verify(file).content


def test_a_migrated_database_without_rows_counts_as_empty(empty: Engine, file: Path) -> None:
    schema.migrate(empty)
    assert restore(empty, file, replace=False) == held(empty)


def test_another_programs_database_is_not_restored_into(empty: Engine, file: Path) -> None:
    write_ahead(empty)
    execute(empty, "CREATE TABLE customers (name TEXT)")
    with pytest.raises(StoreUnusable, match="customers"):
        restore(empty, file, replace=True)


def test_a_database_of_a_newer_program_is_neither_read_nor_replaced(
    engine: Engine, file: Path, tmp_path: Path
) -> None:
    execute(engine, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnusable, match="newer"):
        restore(engine, file, replace=True)
    with pytest.raises(StoreUnusable, match="newer"):
        back_up(engine, tmp_path / "b.mmsb", lambda: NOW)
    assert not (tmp_path / "b.mmsb").exists()


def test_a_backup_of_an_older_schema_is_restored_and_then_migrated(
    sqlite: Engine, empty: Engine, tmp_path: Path
) -> None:
    write_ahead(empty)
    with transaction(empty) as connection:
        schema.upgrade(connection, "0003")
    fill(empty)
    old = back_up(empty, tmp_path / "old.mmsb", lambda: NOW)
    assert old.schema == "0003"
    assert "quarantine" not in old.tables
    # Into a database of this schema, and then the other way round.
    new = back_up(sqlite, tmp_path / "new.mmsb", lambda: NOW)
    assert restore(empty, tmp_path / "new.mmsb", replace=True) == new == held(empty)
    assert restore(empty, tmp_path / "old.mmsb", replace=True) == old
    schema.require(empty)
    found = held(empty).tables
    assert {name: item for name, item in found.items() if item.rows} == old.tables
    assert next_id(empty) == HIGHEST_ID + 1


def test_large_tables_go_through_in_blocks(empty: Engine, sqlite: Engine, tmp_path: Path) -> None:
    count = 12_345
    with transaction(sqlite) as connection:
        columns = ["symbol", "currency", "price", "priced_at", "collected_at"]
        insert(connection, "prices", columns, [("ETH", "usd", n + 1, n, n) for n in range(count)])
    file = tmp_path / "large.mmsb"
    back_up(sqlite, file, lambda: NOW)
    sizes, table = [], ""
    for part in archive.parts(file):
        if isinstance(part, TableBegins):
            table = part.name
        elif isinstance(part, Rows) and table == "prices":
            sizes.append(len(part.lines))
    assert sum(sizes) == count + len(ROWS["prices"])
    assert max(sizes) == BLOCK
    assert restore(empty, file, replace=False) == held(empty)


def test_a_later_backup_takes_the_place_of_the_earlier_one(file: Path, sqlite: Engine) -> None:
    again = back_up(sqlite, file, lambda: NOW + 60)
    assert verify(file) == Manifest(again, {"prices": HIGHEST_ID}, "2026-10-24T12:01:00Z")


def test_a_restore_does_not_wait_for_a_writer_for_ever(engine: Engine, file: Path) -> None:
    impatient = engine
    if engine.dialect.name == SQLITE:
        impatient = create_engine(engine.url, connect_args={"timeout": 0.1})
    before = held(engine)
    with transaction(engine) as other:
        other.execute(text("UPDATE candles SET volume = volume"))
        with pytest.raises(StoreUnavailable, match="locked"):
            restore(impatient, file, replace=True, lock_seconds=1)
    assert held(engine) == before
    impatient.dispose()


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command on a database; exit code, standard output, standard error."""

    def running(db_url: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("DB_URL", db_url)
        monkeypatch.setenv("LOG_FORMAT", "json")
        capsys.readouterr()
        code = main([str(argument) for argument in arguments], lambda: NOW)
        said = capsys.readouterr()
        return code, said.out, said.err

    with log_as_before():
        yield running


def test_the_commands_back_up_restore_and_name_the_content(
    run: Run, engine: Engine, db_url: str, tmp_path: Path
) -> None:
    file, other = tmp_path / "b.mmsb", f"sqlite:///{tmp_path}/folder/other.db"
    code, _, said = run(db_url, "backup", file)
    assert code == 0
    assert f"written to {file}" in said
    assert '"event": "backup_progress", "table": "candles", "rows": 40' in said
    code, shown, said = run(other, "restore", file, "--json")
    assert code == 0
    assert f"restored from {file}" in said
    summary = json.loads(shown)
    assert summary["tables"]["candles"]["rows"] == 40
    hashes = {run(url, "hash")[1] for url in (db_url, other)}
    assert hashes == {summary["sha256"] + "\n"} == {held(engine).sha256 + "\n"}
    assert run(other, "restore", file)[0] == 2
    assert run(other, "restore", file, "--replace")[0] == 0


def test_what_must_be_changed_first_ends_with_2_and_one_line(
    run: Run, file: Path, tmp_path: Path
) -> None:
    filled, none = f"sqlite:///{tmp_path}/filled.db", f"sqlite:///{tmp_path}/none.db"
    for url, arguments, line in (
        (filled, ("restore", tmp_path / "no"), "No such file"),
        (filled, ("restore", tmp_path), "Is a directory"),
        (filled, ("restore", file), "is not empty"),
        (filled, ("backup", tmp_path / "no" / "b.mmsb"), "no folder"),
        (filled, ("backup", tmp_path), "choose another FILE"),
        (filled, ("backup", tmp_path / "filled.db"), "choose another FILE"),
        (none, ("backup", tmp_path / "b.mmsb"), "there is no database"),
        (none, ("hash",), "there is no database"),
        (none, ("restore", tmp_path / "filled.db"), "no backup of this program"),
        (f"sqlite:///{file}", ("hash",), "damaged or no database"),
        ("mysql://x/y", ("hash",), "DB_URL"),
    ):
        code, shown, said = run(url, *arguments)
        assert (code, shown) == (2, ""), said
        assert line in said
        assert said.count("\n") == 1
    assert not (tmp_path / "none.db").exists()
    assert not (tmp_path / "b.mmsb").exists()


def test_what_may_work_later_ends_with_1_and_one_line(run: Run, file: Path, tmp_path: Path) -> None:
    for arguments in (("backup", tmp_path / "b.mmsb"), ("restore", file), ("hash",)):
        code, shown, said = run("postgresql://mms@127.0.0.1:1/mms", *arguments)
        assert (code, shown) == (1, "")
        assert "does not answer" in said
        assert said.count("\n") == 1


def test_a_database_without_tables_has_nothing_to_back_up(empty: Engine, tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="make initial_load"):
        back_up(empty, tmp_path / "b.mmsb", lambda: NOW)
    assert list(tmp_path.glob("*.mmsb")) == []
