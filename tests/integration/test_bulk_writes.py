"""Many rows at once, as both databases take them: whole, in order, and refused where one exists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from app.db import schema
from app.db.session import open_engine, reading, transaction
from app.db.writes import insert, upsert

COLUMNS = ("name", "holder", "expires_at")


@pytest.fixture
def engine(db_url: str) -> Iterator[Engine]:
    """A migrated database of each kind."""
    made = open_engine(db_url)
    schema.migrate(made)
    yield made
    made.dispose()


def held(engine: Engine) -> list[tuple[str, str, int]]:
    """The rows of the table that the tests write to."""
    with reading(engine) as connection:
        found = connection.execute(text("SELECT name, holder, expires_at FROM leases ORDER BY 1"))
        return [(row[0], row[1], int(row[2])) for row in found]


def rows(count: int, holder: str = "a") -> list[tuple[str, str, int]]:
    return [(f"{number:06}", holder, number) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 10_666, 10_667, 25_000])
def test_as_many_rows_are_inserted_as_there_are(engine: Engine, count: int) -> None:
    # 32,000 values go into one statement: 10,666 rows of three.
    with transaction(engine) as connection:
        insert(connection, "leases", COLUMNS, rows(count))
    assert held(engine) == rows(count)


def test_a_row_that_exists_already_is_the_same_error_on_both_and_undoes_the_rest(
    engine: Engine,
) -> None:
    with transaction(engine) as connection:
        insert(connection, "leases", COLUMNS, rows(3))
    with pytest.raises(IntegrityError), transaction(engine) as connection:
        insert(connection, "leases", COLUMNS, [("000009", "b", 1), ("000002", "b", 1)])
    assert held(engine) == rows(3)


def test_an_upsert_replaces_what_exists_but_for_what_is_to_be_kept(engine: Engine) -> None:
    with transaction(engine) as connection:
        insert(connection, "leases", COLUMNS, rows(3))
        upsert(connection, "leases", COLUMNS[:1], COLUMNS[1:], rows(20_000, "b"))
    assert held(engine) == rows(20_000, "b")
    again = [("000001", "c", 77), ("999999", "c", 78)]
    with transaction(engine) as connection:
        upsert(connection, "leases", COLUMNS[:1], COLUMNS[1:], again, keep=("holder",))
        upsert(connection, "leases", COLUMNS[:1], COLUMNS[1:], [])
    found = {name: (holder, at) for name, holder, at in held(engine)}
    assert (found["000001"], found["999999"]) == (("b", 77), ("c", 78))
    assert found["000002"] == ("b", 2)
    assert len(found) == 20_001
