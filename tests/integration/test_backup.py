"""Backups: of one moment, the same from either database, whole or refused, restored whole or not at all."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.core.errors import ConfigurationError, StoreUnavailable, StoreUnusable
from app.core.prices import Coin, SpotPrice
from app.db import archive, schema
from app.db.archive import TableBegins, Writer, verify, writing
from app.db.backup import back_up, main
from app.db.content import BLOCK, OPERATIONAL, Content, columns_of, content_of, data_tables, line_of
from app.db.leases import SqlLeases
from app.db.models import Base
from app.db.prices import SqlPriceStore
from app.db.restoring import restore
from app.db.series import SqlSeriesStore
from app.db.session import open_engine, snapshot, transaction
from app.db.writes import insert
from tests.support.candles import BTC, DAY, daily, day
from tests.support.logs import log_as_before

NOW = 1_792_843_200.5
BIG = 2**63 - 1
REVISION = 1_879_892_243_251_200_123
DAYS = range(1, 41)

Open = Callable[[str], Engine]

ROWS: dict[str, list[dict[str, Any]]] = {
    "series": [
        {"pair": "BTC-BRL", "interval": "1d", "revision": REVISION, "checked_at": None},
        {"pair": "ETH-BRL", "interval": "1h", "revision": 7, "checked_at": 5},
    ],
    "candles": [
        {
            "pair": "BTC-BRL",
            "interval": "1d",
            "bucket": c.bucket,
            "open": c.open,
            "high": c.high,
            "low": c.low,
            "close": c.close,
            "volume": BIG,
        }
        for c in daily(DAYS)
    ],
    "averages": [
        {
            "pair": "BTC-BRL",
            "interval": "1d",
            "bucket": day(number),
            "mms_20": number if number >= 20 else None,
            "mms_50": None,
            "mms_200": None,
        }
        for number in DAYS
    ],
    "absences": [
        {
            "pair": "ETH-BRL",
            "interval": "1h",
            "bucket": day(1),
            "first_asked_at": 1,
            "last_asked_at": 2,
        }
    ],
    "prices": [
        {
            "id": number,
            "symbol": "BTC",
            "currency": "usd",
            "price": number,
            "priced_at": 1,
            "collected_at": number,
        }
        for number in (3, 17)
    ],
    # Sorted by code point, where a language would sort otherwise; and what a file could trip over.
    "quarantine": [
        {
            "pair": "BTC-BRL",
            "interval": "1d",
            "bucket": 0,
            "reason": reason,
            "first_seen_at": 1,
            "last_seen_at": 2,
        }
        for reason in ("b", "A", "a b", "a-b", "ab", "Ä ',\"\n[{", "é", "\U0001f4c8", "")
    ],
    "candle_revisions": [
        {
            "pair": "BTC-BRL",
            "interval": "1d",
            "bucket": day(2),
            "revision": REVISION,
            "noticed_at": 9,
            **{
                f"{when}_{name}": 5
                for when in ("old", "new")
                for name in ("open", "high", "low", "close", "volume")
            },
        }
    ],
}


def fill(engine: Engine) -> None:
    """Put the same rows into every table there is."""
    with transaction(engine) as connection:
        for table in data_tables(connection):
            rows = ROWS[table.name]
            insert(connection, table.name, list(rows[0]), [tuple(row.values()) for row in rows])


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
    """A backup of the rows above."""
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


def held(engine: Engine) -> Content:
    """What the database holds."""
    with snapshot(engine) as connection:
        return content_of(connection)


@contextmanager
def unchanged(engine: Engine) -> Iterator[None]:
    """Assert that the block leaves the database as it was."""
    before = held(engine)
    yield
    assert held(engine) == before


def test_the_rows_of_these_tests_fill_every_table_there_is() -> None:
    assert set(ROWS) == set(Base.metadata.tables) - OPERATIONAL


def test_every_column_is_of_a_kind_that_a_backup_can_carry(engine: Engine) -> None:
    with snapshot(engine) as connection:
        tables = data_tables(connection)
    kinds = {column.type.python_type for table in tables for column in table.columns}
    assert kinds <= {int, str, bool}


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
    prices = SqlPriceStore(empty)
    assert [price.id for price in prices.newest("BTC", "usd", 9)] == [17, 3]
    (new,) = prices.add([SpotPrice(Coin("BTC", "bitcoin"), 5, "usd", 1)], 99)
    assert new.id == 18


def test_the_same_content_has_the_same_hash_in_every_database(
    engine: Engine, sqlite: Engine
) -> None:
    assert held(engine).sha256 == held(sqlite).sha256


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE series SET revision = revision + 1 WHERE interval = '1h'",
        "UPDATE averages SET mms_20 = NULL WHERE mms_20 = 33",
        "UPDATE prices SET id = 18 WHERE id = 17",
        "DELETE FROM absences",
        "UPDATE quarantine SET reason = 'e' WHERE reason = 'é'",
    ],
)
def test_any_change_of_data_is_another_hash(engine: Engine, change: str) -> None:
    before = held(engine).sha256
    with transaction(engine) as connection:
        assert connection.execute(text(change)).rowcount == 1
    assert held(engine).sha256 != before


def test_what_processes_do_now_is_not_data(engine: Engine, empty: Engine, tmp_path: Path) -> None:
    with unchanged(engine):
        SqlLeases(engine).take("load", NOW)
    back_up(engine, tmp_path / "b.mmsb", lambda: NOW)
    restore(empty, tmp_path / "b.mmsb", replace=False)
    assert SqlLeases(empty).take("load", NOW) is None
    restore(empty, tmp_path / "b.mmsb", replace=True)
    assert SqlLeases(empty).take("load", NOW) is not None


def test_an_id_is_never_given_twice_though_its_row_was_removed(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    with transaction(engine) as connection:  # both databases number by themselves from 1 or 18
        connection.execute(text("DELETE FROM prices"))
    price = SpotPrice(Coin("BTC", "bitcoin"), 5, "usd", 1)
    (last,) = SqlPriceStore(engine).add([price], 99)
    SqlPriceStore(engine).prune(100)
    back_up(engine, tmp_path / "b.mmsb", lambda: NOW)
    restore(empty, tmp_path / "b.mmsb", replace=False)
    back_up(empty, tmp_path / "c.mmsb", lambda: NOW)
    restore(empty, tmp_path / "c.mmsb", replace=True)
    assert SqlPriceStore(empty).add([price], 99)[0].id == last.id + 1


def test_a_backup_is_of_one_moment_whatever_is_written_meanwhile(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    before = held(engine)

    def clock() -> float:
        """Asked once the backup has begun, and before it has read a row."""
        with SqlSeriesStore(engine).begin(BTC, DAY) as unit:
            unit.put_candles(daily(range(30, 60), seed=2))
            unit.finish(changed=True, now=day(70))
        SqlPriceStore(engine).add([SpotPrice(Coin("BTC", "bitcoin"), 5, "usd", 1)], 99)
        return NOW

    assert back_up(engine, tmp_path / "b.mmsb", clock) == before
    assert held(engine) != before
    restore(empty, tmp_path / "b.mmsb", replace=False)
    assert held(empty) == before


def test_a_backup_among_commits_holds_each_of_them_whole(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    """Each commit adds one price of each coin; a backup that holds half of one is torn."""
    coins = [Coin("ETH", "ethereum"), Coin("ADA", "cardano"), Coin("DOT", "polkadot")]
    stop = threading.Event()
    store = SqlPriceStore(engine)

    def write() -> None:
        for second in range(10_000):
            if stop.is_set():
                return
            store.add([SpotPrice(coin, 1, "usd", 1) for coin in coins], second)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            back_up(engine, tmp_path / f"{number}.mmsb", lambda: NOW)
    finally:
        stop.set()
        writer.join(30)
    for number in range(5):
        restore(empty, tmp_path / f"{number}.mmsb", replace=True)
        counts = {len(SqlPriceStore(empty).newest(c.symbol, "usd", 10_000)) for c in coins}
        assert len(counts) == 1


def test_a_database_with_data_is_replaced_only_where_that_was_said(
    engine: Engine, file: Path
) -> None:
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM prices"))
    with unchanged(engine), pytest.raises(StoreUnusable, match="--replace"):
        restore(engine, file, replace=False)
    content = restore(engine, file, replace=True)
    assert held(engine) == content


def test_a_migrated_database_without_rows_counts_as_empty(empty: Engine, file: Path) -> None:
    schema.migrate(empty)
    assert restore(empty, file, replace=False) == held(empty)


def test_another_programs_database_is_not_restored_into(empty: Engine, file: Path) -> None:
    with transaction(empty) as connection:
        connection.execute(text("CREATE TABLE customers (name TEXT)"))
    with pytest.raises(StoreUnusable, match="customers"):
        restore(empty, file, replace=True)


def test_a_backup_of_an_older_schema_is_restored_and_then_migrated(
    engine: Engine, empty: Engine, tmp_path: Path
) -> None:
    with transaction(empty) as connection:
        schema.upgrade(connection, "0003")
    fill(empty)
    old = back_up(empty, tmp_path / "old.mmsb", lambda: NOW)
    assert old.schema == "0003"
    assert "quarantine" not in old.tables
    assert restore(engine, tmp_path / "old.mmsb", replace=True) == old
    schema.require(engine)
    now = held(engine)
    assert {name: item for name, item in now.tables.items() if item.rows} == dict(old.tables)
    assert (
        SqlPriceStore(engine).add([SpotPrice(Coin("BTC", "bitcoin"), 5, "usd", 1)], 99)[0].id == 18
    )
    # And the other way round: what is there is of the older schema.
    back_up(engine, tmp_path / "new.mmsb", lambda: NOW)
    assert restore(empty, tmp_path / "new.mmsb", replace=True) == held(engine)


def test_a_database_of_a_newer_program_is_neither_read_nor_replaced(
    engine: Engine, file: Path, tmp_path: Path
) -> None:
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreUnusable, match="newer"):
        restore(engine, file, replace=True)
    with pytest.raises(StoreUnusable, match="newer"):
        back_up(engine, tmp_path / "b.mmsb", lambda: NOW)
    assert not (tmp_path / "b.mmsb").exists()


def test_a_damaged_byte_anywhere_is_refused_unless_it_changes_nothing(
    file: Path, tmp_path: Path
) -> None:
    whole, good = file.read_bytes(), verify(file)
    damaged = tmp_path / "damaged.mmsb"
    survived = []
    for position in range(len(whole)):
        damaged.write_bytes(
            whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :]
        )
        try:
            assert verify(damaged) == good
            survived.append(position)
        except StoreUnusable:
            pass
    # Of gzip's own header: flags that mean nothing, the time, the system it was made on.
    assert survived == [position for position in survived if position < 10]


def test_a_backup_that_was_cut_short_or_goes_on_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    cut = tmp_path / "cut.mmsb"
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(StoreUnusable, match="nothing was changed"):
            verify(cut)
    for more in (b"more", gzip.compress(b"[1]\n"), gzip.compress(whole)):
        cut.write_bytes(whole + more)
        with pytest.raises(StoreUnusable, match="damaged"):
            verify(cut)


def lines_of(file: Path) -> list[bytes]:
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)


def test_a_line_that_is_missing_doubled_or_changed_is_refused_though_it_is_packed_anew(
    file: Path, tmp_path: Path
) -> None:
    lines = lines_of(file)
    other = tmp_path / "other.mmsb"
    for number in range(1, len(lines)):
        for changed in (
            lines[:number] + lines[number + 1 :],
            lines[: number + 1] + lines[number:],
            [*lines[:number], lines[number].replace(b"1", b"2") + b"\n", *lines[number + 1 :]],
            lines[:number],
        ):
            other.write_bytes(gzip.compress(b"".join(changed), 1))
            with pytest.raises(StoreUnusable, match="damaged"):
                verify(other)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"these are my notes\n" * 100,
        b"SQLite format 3\0" + bytes(5_000),
        gzip.compress(b""),
        gzip.compress(b"pair,interval\nBTC-BRL,1d\n"),
        gzip.compress(b'{"format":"another"}\n'),
        gzip.compress(b"[" * 900_000 + b"\n"),
        gzip.compress(b'{"format":"mms-backup","version":1,"schema":5,"created_at":""}\n'),
        gzip.compress(b" " * 3_000_000),
    ],
    ids=["empty", "text", "database", "no lines", "table", "json", "deep", "version", "one line"],
)
def test_a_file_that_is_no_backup_is_refused(
    sqlite: Engine, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "foreign").write_bytes(content)
    with unchanged(sqlite), pytest.raises(StoreUnusable, match="no backup of this program"):
        restore(sqlite, tmp_path / "foreign", replace=True)


@pytest.mark.parametrize("newer", [{"version": 2}, {"schema": "9999"}])
def test_a_backup_of_a_newer_program_is_refused(
    sqlite: Engine, file: Path, tmp_path: Path, newer: dict[str, object]
) -> None:
    first, *rest = lines_of(file)
    head = json.loads(first) | newer
    (tmp_path / "new").write_bytes(
        gzip.compress(b"".join([line_of([]).replace(b"[]", json.dumps(head).encode()), *rest]))
    )
    with unchanged(sqlite), pytest.raises(StoreUnusable, match="newer program"):
        restore(sqlite, tmp_path / "new", replace=True)


@dataclass
class Forged:
    """What a file holds beside what it should, its sums all right."""

    table: str
    columns: list[str]
    rows: list[list[Any]]


def forge(engine: Engine, file: Path, extra: Forged) -> None:
    """A backup with rows that this program would not have written."""
    with snapshot(engine) as connection, writing(file, schema.HEAD, NOW) as writer:
        for table in data_tables(connection):
            names, rows = columns_of(table), [list(row.values()) for row in _sorted(table.name)]
            if table.name == extra.table:
                names, rows = extra.columns or names, [*rows, *extra.rows]
            writer.table(table.name, names, [[line_of(row) for row in rows]])
        if extra.table not in ROWS:
            writer.table(extra.table, extra.columns, [[line_of(row) for row in extra.rows]])
        writer.end({})


def _sorted(table: str) -> list[dict[str, Any]]:
    return [dict(sorted(row.items())) for row in ROWS[table]]


def absence(**changes: Any) -> list[Any]:
    """A row of the table of absences, in the order of a backup."""
    row = _sorted("absences")[0] | {"bucket": day(2)} | changes
    return list(row.values())


@pytest.mark.parametrize(
    "extra",
    [
        Forged("absences", [], [absence(bucket="soon")]),
        Forged("absences", [], [absence(bucket=1.5)]),
        Forged("absences", [], [absence(bucket=True)]),
        Forged("absences", [], [absence(bucket=[1])]),
        Forged("absences", [], [absence(bucket=2**70)]),
        Forged("absences", [], [absence(bucket=None)]),
        Forged("absences", [], [absence(pair="DOT-BRL")]),
        Forged("absences", [], [absence(), absence()]),
        Forged("absences", [], [absence()[:-1]]),
        Forged("absences", [], [[*absence(), 1]]),
        Forged("absences", ["bucket", "interval", "pair", "x", "y"], []),
        Forged("quarantine", [], [[7, 1, "1d", 2, "BTC-BRL", "\ud800"]]),
        Forged("prices", [], [[1, "usd", 99, 0, 1, "BTC"]]),
        Forged("customers", ["name"], [["me"]]),
        Forged("leases", ["expires_at", "holder", "name"], [[1, "me", "load"]]),
    ],
    ids=lambda extra: f"{extra.table}-{extra.rows!r:.60}",
)
def test_rows_that_cannot_be_undo_the_whole_restore(
    engine: Engine, tmp_path: Path, extra: Forged
) -> None:
    forge(engine, tmp_path / "forged", extra)
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM prices WHERE id = 3"))
    with unchanged(engine), pytest.raises(StoreUnusable, match="nothing was changed"):
        restore(engine, tmp_path / "forged", replace=True)
    new = SqlPriceStore(engine).add([SpotPrice(Coin("BTC", "bitcoin"), 5, "usd", 1)], 99)
    assert new[0].id == 18 or engine.dialect.name != "sqlite"


def test_a_backup_that_fails_leaves_the_earlier_one_and_nothing_else(
    file: Path, sqlite: Engine, tmp_path: Path
) -> None:
    before = file.read_bytes()

    def broken() -> Iterator[list[bytes]]:
        yield [b"[1]\n"]
        assert list(tmp_path.glob(".*.part"))
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), writing(file, schema.HEAD, NOW) as writer:
        writer.table("series", ["x"], broken())
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_a_later_backup_takes_the_place_of_the_earlier_one(file: Path, sqlite: Engine) -> None:
    again = back_up(sqlite, file, lambda: NOW + 60)
    assert verify(file) == archive.Manifest(again, {"prices": 17}, "2026-10-24T08:01:00Z")


@pytest.mark.parametrize("content", [b"", b"my notes", gzip.compress(b"my notes\n")])
def test_a_backup_is_never_written_over_something_else(
    sqlite: Engine, tmp_path: Path, content: bytes
) -> None:
    notes = tmp_path / "notes"
    notes.write_bytes(content)
    with pytest.raises(ConfigurationError, match="choose another FILE"):
        back_up(sqlite, notes, lambda: NOW)
    assert notes.read_bytes() == content


def test_a_backup_written_over_the_database_itself_is_refused(sqlite: Engine) -> None:
    with unchanged(sqlite), pytest.raises(ConfigurationError, match="choose another FILE"):
        back_up(sqlite, Path(str(sqlite.url.database)), lambda: NOW)


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
        elif isinstance(part, archive.Rows) and table == "prices":
            sizes.append(len(part.lines))
    assert sum(sizes) == count + 2
    assert max(sizes) == BLOCK
    assert restore(empty, file, replace=False) == held(empty)


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command; exit code, standard output, standard error."""

    def running(engine_url: str, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("DB_URL", engine_url)
        monkeypatch.setenv("LOG_FORMAT", "json")
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
    run: Run, sqlite_url: str, file: Path, tmp_path: Path
) -> None:
    for url, arguments, line in (
        (sqlite_url, ("restore", tmp_path / "no"), "No such file"),
        (sqlite_url, ("restore", tmp_path), "Is a directory"),
        (sqlite_url, ("backup", tmp_path / "no" / "b.mmsb"), "no folder"),
        (sqlite_url, ("backup", tmp_path), "choose another FILE"),
        (f"sqlite:///{tmp_path}/none.db", ("backup", tmp_path / "b"), "there is no database"),
        (f"sqlite:///{tmp_path}/none.db", ("hash",), "there is no database"),
        (f"sqlite:///{file}", ("hash",), "damaged or no database"),
        ("mysql://x/y", ("hash",), "DB_URL"),
    ):
        code, shown, said = run(url, *arguments)
        assert (code, shown) == (2, ""), said
        assert line in said
        assert said.count("\n") == 1
    assert not (tmp_path / "none.db").exists()


def test_what_may_work_later_ends_with_1_and_one_line(run: Run, file: Path, tmp_path: Path) -> None:
    for arguments in (("backup", tmp_path / "b.mmsb"), ("restore", file), ("hash",)):
        code, shown, said = run("postgresql://mms@127.0.0.1:1/mms", *arguments)
        assert (code, shown) == (1, "")
        assert "does not answer" in said
        assert said.count("\n") == 1


def test_an_empty_database_has_nothing_to_back_up(run: Run, empty: Engine, tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="make initial_load"):
        back_up(empty, tmp_path / "b.mmsb", lambda: NOW)
    assert list(tmp_path.glob("*.mmsb")) == []


def test_a_restore_waits_for_no_writer_for_ever(sqlite: Engine, file: Path) -> None:
    impatient = open_engine(str(sqlite.url) + "?timeout=0.1")
    with transaction(sqlite), pytest.raises(StoreUnavailable, match="locked"):
        restore(impatient, file, replace=True)
    impatient.dispose()


def test_a_writer_writes_to_what_it_is_given(tmp_path: Path) -> None:
    with gzip.GzipFile(tmp_path / "w", "wb") as out:
        content = Writer(out, "0001", NOW).end({})
    assert verify(tmp_path / "w").content == content
