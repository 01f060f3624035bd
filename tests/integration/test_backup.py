"""Backups: of one moment, the same from either database, restored whole or not at all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from app.commands.backup import main
from app.core.errors import StoreUnavailable, StoreUnusable
from app.core.prices import Coin, SpotPrice
from app.db import schema
from app.db.backup import archive
from app.db.backup.archive import Content
from app.db.backup.content import BLOCK, OPERATIONAL, back_up, data_tables, restore
from app.db.database import open_engine
from app.db.models import METADATA
from app.db.session import SQLITE, snapshot, transaction
from app.db.sqlite import write_ahead
from app.db.stores.leases import SqlLeases
from app.db.stores.prices import SqlPriceStore
from app.db.stores.series import SqlSeriesStore
from app.db.stores.statements import insert
from app.domain.fixed_point import kept
from tests.support.backups import (
    HIGHEST_ID,
    NOW,
    REVISION,
    ROWS,
    assert_kept,
    cells,
    execute,
    fill,
    next_id,
    rows_of,
    unchanged,
)
from tests.support.candles import BTC_DAILY, daily, day
from tests.support.logs import log_as_before
from tests.support.processes import ended, process

Open = Callable[[str], Engine]
MANY = 12_345


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


def add_prices(engine: Engine, count: int) -> None:
    """Store more prices than go into one block."""
    columns = ["symbol", "currency", "price", "priced_at", "collected_at"]
    rows = [("ETH", "usd", 7**n % 10**18 + 1, n, n) for n in range(count)]
    with transaction(engine) as connection:
        insert(connection, "prices", columns, rows)


def lines_of(file: Path) -> list[bytes]:
    """What is packed in a backup."""
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)


def content_in(file: Path) -> Content:
    """What a backup says at its end, once all of it was read."""
    with archive.reading(file) as backup:
        assert list(backup.rows())
        return backup.content()


def test_the_rows_of_these_tests_fill_every_table_there_is(engine: Engine) -> None:
    assert set(ROWS) == set(METADATA.tables) - OPERATIONAL
    with snapshot(engine) as connection:
        kinds = {c.type.python_type for table in data_tables(connection) for c in table.columns}
    assert kinds <= {int, str, bool}  # what a backup can carry


def test_a_backup_comes_back_into_either_database_with_its_revisions_and_ids(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    add_prices(engine, MANY)
    content = back_up(engine, tmp_path / "b.mmsb", lambda: NOW)
    assert content.rows == {n: len(rows) for n, rows in ROWS.items()} | {
        "prices": len(ROWS["prices"]) + MANY
    }
    assert restore(empty, tmp_path / "b.mmsb", replace=False) == content
    assert rows_of(empty) == rows_of(engine)
    schema.require(empty)
    assert SqlSeriesStore(empty).state(BTC_DAILY).revision == REVISION
    assert next_id(empty) == HIGHEST_ID + MANY + 1


def test_spot_prices_of_any_size_come_back_into_either_database(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    written = ("1e-20", "1234567890123456.7", "1.4e-8", "67187.33")
    prices = [SpotPrice(Coin.parse("ETH"), kept(price), "usd", 1) for price in written]
    stored = SqlPriceStore(engine).add(prices, 1)
    back_up(engine, tmp_path / "prices.mmsb", lambda: NOW)
    restore(empty, tmp_path / "prices.mmsb", replace=False)
    assert SqlPriceStore(empty).newest("ETH", "usd", 9) == stored[::-1]


def test_the_same_content_has_the_same_hash_everywhere_and_any_change_another(
    engine: Engine, file: Path, tmp_path: Path
) -> None:
    def hashed() -> str:
        return back_up(engine, tmp_path / "b.mmsb", lambda: NOW).sha256

    seen = {content_in(file).sha256}
    assert {hashed()} == seen
    for number, change in enumerate(
        (
            "UPDATE series SET revision = revision + 1 WHERE interval = '1h'",
            "UPDATE averages SET mms_20 = NULL WHERE mms_20 = 33",
            "DELETE FROM absences",
            "UPDATE quarantine SET reason = 'e' WHERE reason = 'é'",
        ),
        start=2,
    ):
        assert execute(engine, change) == 1
        seen.add(hashed())
        assert len(seen) == number


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


def test_a_backup_is_of_one_moment_whatever_is_written_meanwhile(
    engine: Engine, tmp_path: Path
) -> None:
    before = back_up(engine, tmp_path / "before.mmsb", lambda: NOW)

    def clock() -> float:
        """Asked once the backup has begun, and before it has read a row."""
        with SqlSeriesStore(engine).begin(BTC_DAILY) as unit:
            unit.put_candles(daily(range(30, 60), seed=2))
            unit.finish(changed=True, now=day(70))
        next_id(engine)
        return NOW

    assert back_up(engine, tmp_path / "b.mmsb", clock) == before
    assert content_in(tmp_path / "b.mmsb") == before
    assert back_up(engine, tmp_path / "b.mmsb", lambda: NOW) != before


def test_a_database_with_data_is_replaced_only_where_that_was_said(
    engine: Engine, sqlite: Engine, file: Path
) -> None:
    execute(engine, "DELETE FROM prices")
    with unchanged(engine), pytest.raises(StoreUnusable, match="--replace"):
        restore(engine, file, replace=False)
    assert restore(engine, file, replace=True) == content_in(file)
    assert rows_of(engine) == rows_of(sqlite)


def test_the_database_of_another_or_a_newer_program_is_neither_read_nor_replaced(
    engine: Engine, empty: Engine, file: Path, tmp_path: Path
) -> None:
    write_ahead(empty)
    execute(empty, "CREATE TABLE customers (name TEXT)")
    execute(engine, "UPDATE alembic_version SET version_num = '9999'")
    for database, says in ((empty, "customers"), (engine, "newer")):
        with pytest.raises(StoreUnusable, match=says):
            restore(database, file, replace=True)
        with pytest.raises(StoreUnusable, match=says):
            back_up(database, tmp_path / "b.mmsb", lambda: NOW)
    schema.migrate(fresh := open_engine(f"sqlite:///{tmp_path / 'fresh.db'}"))
    restore(fresh, file, replace=False)  # one of ours without rows is as good as none
    fresh.dispose()
    assert not (tmp_path / "b.mmsb").exists()


def test_volumes_of_any_size_and_none_come_back_into_either_database(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    volumes = ["92233720368.54775808", "0.000000001", None, "9" * 40 + "." + "9" * 40]
    old = daily(range(len(volumes)))
    new = [replace(item, volume=volume) for item, volume in zip(old, volumes, strict=True)]
    with SqlSeriesStore(engine).begin(BTC_DAILY) as unit:
        unit.put_candles(new)
        unit.note_revised(list(zip(old, new, strict=True)))
        unit.finish(changed=True, now=NOW)
    back_up(engine, tmp_path / "volumes.mmsb", lambda: NOW)
    restore(empty, tmp_path / "volumes.mmsb", replace=False)
    restored = SqlSeriesStore(empty)
    _, rows = restored.rows(BTC_DAILY, new[0].bucket, new[-1].bucket)
    assert [candle for candle, _ in rows] == new
    changes = restored.revisions(BTC_DAILY, len(new))
    assert [(change.old, change.new) for change in changes] == list(
        zip(old[::-1], new[::-1], strict=True)
    )


def test_a_backup_of_an_older_schema_is_restored_and_then_migrated(
    sqlite: Engine, empty: Engine, tmp_path: Path
) -> None:
    write_ahead(empty)
    with transaction(empty) as connection:
        schema.upgrade(connection, "0003")
    fill(empty)
    before = cells(empty)
    old = back_up(empty, tmp_path / "old.mmsb", lambda: NOW)
    assert (old.schema, "quarantine" in old.rows) == ("0003", False)
    # Into a database of this schema, and then the other way round.
    new = back_up(sqlite, tmp_path / "new.mmsb", lambda: NOW)
    assert restore(empty, tmp_path / "new.mmsb", replace=True) == new
    assert rows_of(empty) == rows_of(sqlite)
    assert restore(empty, tmp_path / "old.mmsb", replace=True) == old
    schema.require(empty)
    assert {name for name, rows in cells(empty).items() if rows} == set(before)
    assert_kept(before, empty)
    assert next_id(empty) == HIGHEST_ID + 1


def test_a_backup_of_version_1_is_restored_and_counted(
    sqlite: Engine, empty: Engine, file: Path, tmp_path: Path
) -> None:
    """Program 0.1.0 wrote a hash of each table, and what numbers it had given."""
    first, *rest = lines_of(file)
    head = json.dumps(json.loads(first) | {"version": 1}).encode() + b"\n"
    tables = {name: {"rows": n, "sha256": "0" * 64} for name, n in content_in(file).rows.items()}
    said = {"end": {"tables": tables, "numbered": {"prices": 17}, "sha256": "0" * 64}}
    end = json.dumps(said).encode() + b"\n"
    old = tmp_path / "old.mmsb"
    old.write_bytes(gzip.compress(b"".join([head, *rest[:-1], end])))
    restore(empty, old, replace=False)
    assert rows_of(empty) == rows_of(sqlite)
    old.write_bytes(gzip.compress(b"".join([head, *rest[:-2], end])))
    with unchanged(empty), pytest.raises(StoreUnusable, match="damaged"):
        restore(empty, old, replace=True)


def test_a_restore_does_not_wait_for_a_writer_for_ever(engine: Engine, file: Path) -> None:
    impatient = engine
    if engine.dialect.name == SQLITE:
        impatient = create_engine(engine.url, connect_args={"timeout": 0.1})
    with unchanged(engine), transaction(engine) as other:
        other.execute(text("UPDATE candles SET volume = volume"))
        with pytest.raises(StoreUnavailable, match="locked"):
            restore(impatient, file, replace=True, lock_seconds=1)
    impatient.dispose()


def test_a_damaged_byte_anywhere_is_refused_unless_it_changes_nothing(
    file: Path, tmp_path: Path
) -> None:
    whole, good = file.read_bytes(), content_in(file)
    damaged = tmp_path / "damaged.mmsb"
    refused = 0
    for position in range(len(whole)):
        changed = bytes([whole[position] ^ 0x10])
        damaged.write_bytes(whole[:position] + changed + whole[position + 1 :])
        try:
            assert content_in(damaged) == good
        except StoreUnusable:
            refused += 1
    # The time and the system in gzip's header, and the bits that fill up the last packed byte.
    assert refused >= len(whole) - 12


def test_damage_that_shows_anywhere_undoes_the_whole_restore(
    engine: Engine, file: Path, tmp_path: Path
) -> None:
    """Its rows come before the end that answers for them, and are in the transaction by then."""
    first, *rows, end = lines_of(file)
    whole = file.read_bytes()
    candle = next(number for number, line in enumerate(rows) if b'"candles"' in line) + 1
    for bad in (
        whole[:-20],  # cut short
        whole + b"more",
        gzip.compress(b"".join([first, *rows])),  # without its end
        gzip.compress(b"".join([first, *rows, end, rows[0]])),
        gzip.compress(b"".join([first, *rows[:-1], end])),
        gzip.compress(b"".join([first, *rows, rows[-1].replace(b"[", b"[1"), end])),
        gzip.compress(b"".join([first, *rows[:candle], b"[1]\n", *rows[candle:], end])),
        gzip.compress(b"".join([first, *rows[:candle], b'["x"\n', *rows[candle:], end])),
        gzip.compress(b"".join([first, *rows[:candle], b'[{"a":1}]\n', *rows[candle:], end])),
        gzip.compress(b"".join([first, *rows[:candle], b"{}\n", *rows[candle:], end])),
        gzip.compress(b"".join([first, b'{"table":"customers","columns":["name"]}\n', end])),
        gzip.compress(b"".join([first, b'{"table":"\\ud80e"}\n', *rows, end])),
        gzip.compress(b"".join([first, *rows[1:], end])),  # rows of no table
    ):
        (tmp_path / "bad").write_bytes(bad)
        with unchanged(engine), pytest.raises(StoreUnusable, match="nothing was changed"):
            restore(engine, tmp_path / "bad", replace=True)
    assert next_id(engine) == HIGHEST_ID + 1


def test_a_file_that_is_no_backup_or_a_newer_programs_is_refused(
    sqlite: Engine, file: Path, tmp_path: Path
) -> None:
    first, *rest = lines_of(file)
    newer = [
        gzip.compress(b"".join([json.dumps(json.loads(first) | change).encode() + b"\n", *rest]))
        for change in ({"version": 3}, {"schema": "9999"})
    ]
    foreign = [
        b"",
        b"these are my notes\n" * 100,
        gzip.compress(b""),
        gzip.compress(b"pair,interval\nBTC-BRL,1d\n"),
        gzip.compress(b'{"format":"another","version":1,"schema":"0001"}\n'),
        gzip.compress(b"[" * 900_000 + b"\n"),
        gzip.compress(b'{"format":"mms-backup","version":Infinity,"schema":"0005"}\n'),
        gzip.compress(b" " * 3_000_000),
    ]
    other = tmp_path / "other"
    for contents, says in ((newer, "newer program"), (foreign, "no backup of this program")):
        for content in contents:
            other.write_bytes(content)
            with unchanged(sqlite), pytest.raises(StoreUnusable, match=says):
                restore(sqlite, other, replace=True)
            # Nor is a backup written over it.
            with pytest.raises(StoreUnusable, match=says):
                back_up(sqlite, other, lambda: NOW)
            assert other.read_bytes() == content


def test_a_later_backup_takes_the_place_of_the_earlier_one_only_once_it_is_complete(
    file: Path, sqlite: Engine, tmp_path: Path
) -> None:
    before = file.read_bytes()

    def failing() -> Iterator[bytes]:
        yield b"[1]\n"
        assert list(tmp_path.glob(".*.part"))
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), archive.writing(file, "0006", NOW) as writer:
        writer.table("series", ["x"], failing())
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))
    next_id(sqlite)
    assert back_up(sqlite, file, lambda: NOW + 60) == content_in(file)
    assert json.loads(lines_of(file)[0])["created_at"] == "2026-10-24T12:01:00Z"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command on a database; exit code, standard output, standard error."""

    def running(db_url: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("DB_URL", db_url)
        monkeypatch.setenv("LOG_FORMAT", "json")
        capsys.readouterr()
        code = main([str(argument) for argument in arguments], clock=lambda: NOW)
        said = capsys.readouterr()
        return code, said.out, said.err

    with log_as_before():
        yield running


def test_the_commands_back_up_and_restore(
    run: Run, engine: Engine, db_url: str, tmp_path: Path
) -> None:
    file, other = tmp_path / "b.mmsb", f"sqlite:///{tmp_path}/folder/other.db"
    code, _, said = run(db_url, "backup", file)
    assert code == 0
    assert f"written to {file}" in said
    code, shown, said = run(other, "restore", file, "--json")
    assert code == 0
    assert f"restored from {file}" in said
    summary = json.loads(shown)
    assert summary["tables"]["candles"]["rows"] == 40
    assert summary["sha256"] == content_in(file).sha256
    assert run(other, "restore", file)[0] == 2
    assert run(other, "restore", file, "--replace")[0] == 0


def test_what_must_be_changed_first_ends_with_2_and_one_line(
    run: Run, file: Path, tmp_path: Path
) -> None:
    filled, none = f"sqlite:///{tmp_path}/filled.db", f"sqlite:///{tmp_path}/none.db"
    (tmp_path / "empty.db").touch()
    for url, arguments, line in (
        (filled, ("restore", tmp_path / "no"), "No such file"),
        (filled, ("restore", tmp_path), "Is a directory"),
        (filled, ("restore", file), "is not empty"),
        (filled, ("backup", tmp_path / "no" / "b.mmsb"), "no folder"),
        (filled, ("backup", tmp_path), "Is a directory"),
        (filled, ("backup", tmp_path / "filled.db"), "no backup of this program"),
        (none, ("backup", tmp_path / "b.mmsb"), "there is no database"),
        (none, ("restore", tmp_path / "filled.db"), "no backup of this program"),
        (f"sqlite:///{file}", ("backup", tmp_path / "b.mmsb"), "not a database"),
        ("mysql://x/y", ("restore", file), "DB_URL"),
    ):
        code, shown, said = run(url, *arguments)
        assert (code, shown) == (2, ""), said
        *before, last = said.splitlines()
        assert line in last
        assert len(before) == said.count("database_in_use")
    code, shown, said = run(filled, "restore", file, "--json")
    summary = json.loads(shown)
    assert said.splitlines()[1:] == [f"restore: {summary.pop('reason')}"]
    assert summary == {"command": "restore", "exit": 2, "error": "StoreUnusable"}
    assert not (tmp_path / "none.db").exists()
    assert not (tmp_path / "b.mmsb").exists()


def test_what_may_work_later_ends_with_1_and_one_line(run: Run, file: Path, tmp_path: Path) -> None:
    for arguments in (("backup", tmp_path / "b.mmsb"), ("restore", file)):
        code, shown, said = run("postgresql://mms@127.0.0.1:1/mms", *arguments)
        assert (code, shown) == (1, "")
        assert "does not answer" in said
        assert said.count("\n") == 2  # the first one names the database


def test_a_database_without_tables_has_nothing_to_back_up(empty: Engine, tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="python -m app load"):
        back_up(empty, tmp_path / "b.mmsb", lambda: NOW)
    assert list(tmp_path.glob("*.mmsb")) == []


def test_a_backup_for_which_there_is_no_room_ends_with_1_and_one_line(
    sqlite: Engine, tmp_path: Path
) -> None:
    add_prices(sqlite, 3 * BLOCK)
    program = (
        "import resource, sys\n"
        "from app.commands.backup import main\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))\n"
        "code = main(['backup', 'b.mmsb'])\n"
        # What measures coverage writes its own file at the end.
        "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "sys.exit(code)"
    )
    with process(tmp_path, "-c", program, DB_URL=str(sqlite.url), LOG_LEVEL="WARNING") as child:
        code, said = ended(child)
    assert (code, said) == (1, "backup: b.mmsb: File too large; nothing was changed\n")
    assert not list(tmp_path.glob("*b.mmsb*"))
