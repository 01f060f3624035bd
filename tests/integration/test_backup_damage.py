"""Backups that are damaged, foreign, newer or forged: refused with a line, the database as it was."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from app.core.errors import ConfigurationError, StoreUnusable
from app.db import schema
from app.db.archive import verify, writing
from app.db.backup import back_up
from app.db.content import BLOCK, columns_of, data_tables, line_of
from app.db.restoring import restore
from app.db.session import open_engine, snapshot, transaction
from app.db.writes import insert
from tests.support.backups import HIGHEST_ID, NOW, ROWS, execute, fill, held, next_id, unchanged
from tests.support.candles import day
from tests.support.processes import ended, process


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    """A filled database of each kind."""
    made = open_engine(db_url)
    schema.migrate(made)
    fill(made)
    yield made
    made.dispose()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[Engine]:
    """A filled SQLite database."""
    made = open_engine(sqlite_url)
    schema.migrate(made)
    fill(made)
    yield made
    made.dispose()


@pytest.fixture
def file(sqlite: Engine, tmp_path: Path) -> Path:
    """A backup of it."""
    back_up(sqlite, tmp_path / "made.mmsb", lambda: NOW)
    return tmp_path / "made.mmsb"


def lines_of(file: Path) -> list[bytes]:
    """What is packed in a backup."""
    return gzip.decompress(file.read_bytes()).splitlines(keepends=True)


def test_a_damaged_byte_anywhere_is_refused_unless_it_changes_nothing(
    file: Path, tmp_path: Path
) -> None:
    whole, good = file.read_bytes(), verify(file)
    damaged = tmp_path / "damaged.mmsb"
    survived = []
    for position in range(len(whole)):
        changed = bytes([whole[position] ^ 0x10])
        damaged.write_bytes(whole[:position] + changed + whole[position + 1 :])
        try:
            found = verify(damaged)
        except StoreUnusable:
            continue
        assert found == good
        survived.append(position)
    # The time and the system in gzip's header, and the bits that fill up the last packed byte.
    assert [position for position in survived if 10 <= position < len(whole) - 9] == []


def test_a_backup_that_was_cut_short_or_goes_on_is_refused(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    other = tmp_path / "other.mmsb"
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        other.write_bytes(whole[:length])
        with pytest.raises(StoreUnusable, match="nothing was changed"):
            verify(other)
    for more in (b"more", gzip.compress(b"[1]\n"), gzip.compress(whole)):
        other.write_bytes(whole + more)
        with pytest.raises(StoreUnusable, match="damaged"):
            verify(other)


def test_a_line_that_is_missing_doubled_or_changed_is_refused_though_it_is_packed_anew(
    file: Path, tmp_path: Path
) -> None:
    lines = lines_of(file)
    other = tmp_path / "other.mmsb"
    for number in range(1, len(lines)):
        before, line, after = lines[:number], lines[number], lines[number + 1 :]
        for changed in ([], [line, line], [line[:-2] + b"\n"], [b"[1]\n", line], [b"{}\n", line]):
            other.write_bytes(gzip.compress(b"".join([*before, *changed, *after]), 1))
            with pytest.raises(StoreUnusable, match="damaged"):
                verify(other)


def test_a_file_that_is_no_backup_is_refused(sqlite: Engine, tmp_path: Path) -> None:
    for content in (
        b"",
        b"these are my notes\n" * 100,
        b"SQLite format 3\0" + bytes(5_000),
        gzip.compress(b""),
        gzip.compress(b"pair,interval\nBTC-BRL,1d\n"),
        gzip.compress(b'{"format":"another"}\n'),
        gzip.compress(b"[" * 900_000 + b"\n"),
        gzip.compress(b'{"format":"mms-backup","version":1,"schema":5,"created_at":""}\n'),
        gzip.compress(b" " * 3_000_000),
    ):
        (tmp_path / "foreign").write_bytes(content)
        with unchanged(sqlite), pytest.raises(StoreUnusable, match="no backup of this program"):
            restore(sqlite, tmp_path / "foreign", replace=True)


def test_half_a_character_in_a_name_is_damage_and_not_a_crash(file: Path, tmp_path: Path) -> None:
    """JSON can spell a lone surrogate, which no checksum can be taken of."""
    first, *rest = lines_of(file)
    end = rest.pop()
    half = b'"\\ud80e"'
    other = tmp_path / "other.mmsb"
    for changed, says in (
        ([first, b'{"table":' + half + b',"columns":[]}\n', *rest, end], "damaged"),
        ([first, b'{"table":"x","columns":[' + half + b"]}\n", *rest, end], "damaged"),
        ([first.replace(b'"created_at":"', b'"created_at":"\\ud80e'), *rest, end], "no backup"),
    ):
        other.write_bytes(gzip.compress(b"".join(changed)))
        with pytest.raises(StoreUnusable, match=says):
            verify(other)


def test_a_backup_of_a_newer_program_is_refused(sqlite: Engine, file: Path, tmp_path: Path) -> None:
    first, *rest = lines_of(file)
    for newer in ({"version": 2}, {"schema": "9999"}):
        head = json.dumps(json.loads(first) | newer).encode() + b"\n"
        (tmp_path / "new").write_bytes(gzip.compress(b"".join([head, *rest])))
        with unchanged(sqlite), pytest.raises(StoreUnusable, match="newer program"):
            restore(sqlite, tmp_path / "new", replace=True)


def forge(engine: Engine, file: Path, table: str, columns: list[str], rows: list[Any]) -> None:
    """Write a backup whose sums are right, with something in it that no program of ours writes."""
    with snapshot(engine) as connection, writing(file, schema.HEAD, NOW) as writer:
        for known in data_tables(connection):
            names, key = columns_of(known), list(known.primary_key.columns.keys())
            in_order = sorted(ROWS[known.name], key=lambda row: [row[name] for name in key])
            content = [[row[name] for name in names] for row in in_order]
            if known.name == table:
                names, content = columns or names, [*content, *rows]
            writer.table(known.name, names, [[line_of(row) for row in content]])
        if table not in ROWS:
            writer.table(table, columns, [[line_of(row) for row in rows]])
        writer.end({"prices": HIGHEST_ID + 5})


def absence(**changes: Any) -> list[Any]:
    """A row of absences in the order of a backup."""
    row = ROWS["absences"][0] | {"bucket": day(2)} | changes
    return [row[name] for name in sorted(row)]


FORGED: list[tuple[str, list[str], list[Any]]] = [
    ("absences", [], [absence(bucket="soon")]),
    ("absences", [], [absence(bucket="7")]),
    ("absences", [], [absence(bucket=1.5)]),
    ("absences", [], [absence(bucket=True)]),
    ("absences", [], [absence(bucket=[1])]),
    ("absences", [], [absence(bucket=2**70)]),
    ("absences", [], [absence(bucket=None)]),
    ("absences", [], [absence(pair="DOT-BRL")]),
    ("absences", [], [absence(), absence()]),
    ("absences", [], [absence()[:-1]]),
    ("absences", [], [[*absence(), 1]]),
    ("absences", ["bucket", "interval", "pair", "x", "y"], []),
    ("quarantine", [], [[7, 1, "1d", 2, "BTC-BRL", "\ud800"]]),
    ("prices", [], [[99, "usd", HIGHEST_ID + 1, 0, 1, "BTC"]]),
    ("customers", ["name"], [["me"]]),
    ("leases", ["expires_at", "holder", "name"], [[1, "me", "load"]]),
]


def test_rows_that_cannot_be_undo_the_whole_restore(engine: Engine, tmp_path: Path) -> None:
    execute(engine, "DELETE FROM prices WHERE id = 3")
    for forged in FORGED:
        forge(engine, tmp_path / "forged", *forged)
        with unchanged(engine), pytest.raises(StoreUnusable, match="holds rows that cannot be"):
            restore(engine, tmp_path / "forged", replace=True)
        (tmp_path / "forged").unlink()
    forge(engine, tmp_path / "shuffled", "absences", [], [absence(), absence(bucket=day(0))])
    with unchanged(engine), pytest.raises(StoreUnusable, match="does not give back"):
        restore(engine, tmp_path / "shuffled", replace=True)
    assert next_id(engine) == HIGHEST_ID + 1
    forge(engine, tmp_path / "good", "absences", [], [absence()])
    assert restore(engine, tmp_path / "good", replace=True) == held(engine)


def test_a_backup_that_fails_leaves_the_earlier_one_and_nothing_else(
    file: Path, tmp_path: Path
) -> None:
    before = file.read_bytes()

    def failing() -> Iterator[list[bytes]]:
        yield [b"[1]\n"]
        assert list(tmp_path.glob(".*.part"))
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), writing(file, schema.HEAD, NOW) as writer:
        writer.table("series", ["x"], failing())
    assert file.read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_a_backup_for_which_there_is_no_room_ends_with_1_and_one_line(
    sqlite: Engine, sqlite_url: str, tmp_path: Path
) -> None:
    with transaction(sqlite) as connection:
        columns = ["symbol", "currency", "price", "priced_at", "collected_at"]
        rows = [("ETH", "usd", 7**n % 10**18 + 1, n, n) for n in range(3 * BLOCK)]
        insert(connection, "prices", columns, rows)
    program = (
        "import resource, sys\n"
        "from app.db.backup import main\n"
        "most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))\n"
        "code = main(['backup', 'b.mmsb'])\n"
        # What measures coverage writes its own file at the end.
        "resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))\n"
        "sys.exit(code)"
    )
    with process(tmp_path, "-c", program, DB_URL=sqlite_url, LOG_LEVEL="WARNING") as child:
        code, said = ended(child)
    assert (code, said) == (1, "backup: b.mmsb: File too large; nothing was changed\n")
    assert not list(tmp_path.glob("*b.mmsb*"))


@pytest.mark.parametrize(
    "content",
    [b"", b"my notes", gzip.compress(b"my notes\n")],
    ids=["empty", "notes", "packed notes"],
)
def test_a_backup_is_never_written_over_something_else(
    sqlite: Engine, tmp_path: Path, content: bytes
) -> None:
    notes = tmp_path / "notes"
    notes.write_bytes(content)
    with pytest.raises(ConfigurationError, match="choose another FILE"):
        back_up(sqlite, notes, lambda: NOW)
    assert notes.read_bytes() == content
