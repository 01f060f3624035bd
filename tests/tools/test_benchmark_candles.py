"""The measurement of invalid candles finds what it is there to find: code or databases that are too kind
or too strict."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from app.core.market import CandlePage
from app.db import schema
from app.db.session import open_engine
from app.utils.candles import RawCandle, closed_page
from benchmarks.reliability import oracle
from benchmarks.reliability.asking import Asking, expressed
from benchmarks.reliability.candles import measure, product
from benchmarks.reliability.rig import POSTGRES, SQLITE, Where
from benchmarks.reliability.spoiling import Asked, reply, sound
from tests.support.candles import day

GOOD = RawCandle(day(1), "10", "12", "9", "11", "0")


@pytest.mark.parametrize("where", [SQLITE, POSTGRES], ids=["sqlite", "postgres"])
def test_neither_the_code_nor_the_database_takes_an_invalid_candle(
    where: Where, request: pytest.FixtureRequest
) -> None:
    if where is POSTGRES:
        request.getfixturevalue("postgres_server")  # skips where there is none
    figures = measure(where, 500)
    assert [figure.troubles for figure in figures] == [(), (), ()]
    assert all(figure.held for figure in figures)


def unfinished(asked: Asked) -> CandlePage:
    """Takes the running candle as well."""
    later = asked.now + asked.interval.seconds
    return closed_page(asked.rows, asked.interval, asked.first, asked.last, later)


def first_come(asked: Asked) -> CandlePage:
    """Takes the first of several rows of a bucket, whatever the others say."""
    page = product(asked)
    known = {candle.bucket for candle in page.candles}
    for row in asked.rows:
        alone = product(replace(asked, rows=(row,))).candles
        if alone and alone[0].bucket not in known:
            return replace(page, candles=(*page.candles, *alone))
    return page


def silent(asked: Asked) -> CandlePage:
    """Keeps to itself what it refused."""
    return replace(product(asked), refused=())


def strict(asked: Asked) -> CandlePage:
    """Leaves the last candle out."""
    page = product(asked)
    return replace(page, candles=page.candles[:-1])


@pytest.mark.parametrize(
    ("page", "held"),
    [
        (unfinished, [False, True, True]),
        (first_come, [False, True, True]),
        (silent, [False, True, True]),
        (strict, [True, True, False]),
    ],
)
def test_code_that_is_too_kind_or_too_strict_is_found(
    page: Callable[[Asked], CandlePage], held: list[bool]
) -> None:
    assert [figure.held for figure in measure(SQLITE, 500, page=page)] == held


def test_a_database_without_its_checks_is_found(sqlite_url: str) -> None:
    engine = open_engine(sqlite_url)
    schema.migrate(engine)

    @event.listens_for(engine, "connect")
    def _careless(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA ignore_check_constraints=ON")

    engine.dispose()
    asking = Asking(engine)
    assert asking.refuses((day(1), 10, 8, 9, 11, 0), "1d") is False
    assert asking.refuses((day(1), 10, 12, 9, None, 0), "1d") is True
    assert (asking.asked, asking.refusals) == (2, {"NOT NULL": 1})
    asking.close()
    engine.dispose()


def test_a_database_that_is_too_strict_is_found(db_url: str) -> None:
    engine = open_engine(db_url)
    schema.migrate(engine)
    asking = Asking(engine)
    good = (day(1), 10, 12, 9, 11, 0)
    for _ in range(2):
        assert asking.takes([good, (day(2), 10, 12, 9, 11, 0)], "1d") is True
        assert asking.takes([good, good], "1d") is False
    asking.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"bucket": f"{day(1)}.0", "open": "1e1", "high": "12.000000000", "low": 9}, ""),
        ({"volume": "0.0000000049"}, ""),
        ({"bucket": "soon"}, "stamp no number"),
        ({"bucket": float(day(1))}, "stamp no number"),
        ({"bucket": f"{day(1)}.5"}, "stamp with a fraction"),
        ({"bucket": day(1) + 1}, "stamp off the grid"),
        ({"bucket": 1_293_840_000 - 86_400}, "stamp before 2011"),
        ({"bucket": -day(1)}, "stamp before 2011"),
        ({"bucket": day(1) * 1_000}, "stamp in ms, µs or ns"),
        ({"bucket": str(day(1) * 10**9)}, "stamp in ms, µs or ns"),
        ({"low": None}, "price missing or no number"),
        ({"close": "NaN"}, "price missing or no number"),
        ({"close": True}, "price missing or no number"),
        ({"open": " 10"}, "price missing or no number"),
        ({"close": "11.000000001"}, "price finer than 1e-8"),
        ({"low": "0"}, "price zero or negative"),
        ({"open": "-1"}, "price zero or negative"),
        ({"high": "461168601.84273880"}, "price too high"),
        ({"high": "8"}, "high below low"),
        ({"open": "12.00000001"}, "open or close outside"),
        ({"close": "8.99999999"}, "open or close outside"),
        ({"volume": "many"}, "volume missing or no number"),
        ({"volume": "-0.00000001"}, "volume negative"),
        ({"volume": "92233720368.54775808"}, "volume too large"),
    ],
)
def test_the_oracle_knows_what_is_wrong_with_a_row(changes: dict[str, Any], fault: str) -> None:
    assert oracle.fault(GOOD._replace(**changes), "1d") == fault


def test_the_oracle_knows_what_is_wrong_with_a_sound_row_where_it_stands() -> None:
    rows = [GOOD._replace(bucket=day(number)) for number in (0, 1, 1, 2, 2, 3, 4, 5, 9)]
    rows[2] = rows[2]._replace(high="12.00")
    rows[4] = rows[4]._replace(volume="1")
    rows[5] = rows[5]._replace(high="1")
    judged = oracle.verdicts(rows, "1d", day(1), day(9), day(5) + 1)
    assert judged == [
        oracle.NOT_ASKED_FOR, oracle.VALID, oracle.VALID, "duplicates that differ",
        "duplicates that differ", "high below low", "running or just ended", "running or just ended",
        "in the future",
    ]  # fmt: skip
    assert list(oracle.acceptable(rows, judged)) == [day(1)]


def test_every_kind_of_fault_is_made_up_and_sound_candles_too() -> None:
    chance = random.Random(3)
    found: set[str] = set()
    for _ in range(1_500):
        asked = reply(chance)
        found |= set(
            oracle.verdicts(asked.rows, asked.interval.value, asked.first, asked.last, asked.now)
        )
    assert found == {*oracle.ITS_OWN, *oracle.OF_ITS_REPLY, oracle.VALID, oracle.NOT_ASKED_FOR}
    assert all(oracle.fault(sound(chance, day(1)), "1d") == "" for _ in range(200))


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({"high": "1"}, {"high": 10**8}),
        ({"close": None}, {"close": None}),
        ({"close": "soon"}, {"close": "soon"}),
        ({"close": "11.000000001"}, {"close": "1100000000.1"}),
        ({"close": "9" * 30}, {"close": "9" * 30 + "0" * 8}),
        ({"bucket": day(1) * 1_000}, {"bucket": day(1) * 1_000}),
        ({"close": "461168601.123456789"}, None),
        ({"close": True}, None),
        ({"close": []}, None),
        ({"close": " 5"}, None),
        ({"close": "0x10"}, None),
    ],
)
def test_a_wrong_row_is_written_as_a_careless_program_would(
    changes: dict[str, Any], written: dict[str, Any] | None
) -> None:
    plain = RawCandle(day(1), 10 * 10**8, 12 * 10**8, 9 * 10**8, 11 * 10**8, 0)
    wanted = None if written is None else tuple(plain._replace(**written))
    assert expressed(GOOD._replace(**changes), "1d") == wanted


def test_an_oracle_that_contradicts_itself_is_found() -> None:
    with pytest.raises(AssertionError, match="contradicts itself"):
        expressed(GOOD, "1d")
