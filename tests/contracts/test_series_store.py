"""One contract for every store of candles and averages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from threading import Barrier, Thread

import pytest
from sqlalchemy import text

from app.core.market import (
    EMPTY_SERIES,
    MAX_PRICE,
    NOTES,
    WINDOWS,
    Absent,
    AverageRow,
    Candle,
    Exact,
    Interval,
    QuarantinedCandle,
    RefusedCandle,
    Series,
    SeriesVersion,
    VolumeNote,
)
from app.db import schema
from app.db.database import open_engine
from app.db.stores import statements
from app.db.stores.series import SqlSeriesStore
from app.domain.gaps import Span
from app.services.gaps import survey
from app.testing.series import MemorySeriesStore, MemorySeriesUnit
from tests.support.candles import BTC, BTC_DAILY, ETH_DAILY, candle, daily, day

ALONE = {"store": ["memory", "sqlite"]}
SERVICES = {"store": ["postgres"]}

Store = MemorySeriesStore | SqlSeriesStore
NOW = day(400)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemorySeriesStore()
        return
    engine = open_engine(request.getfixturevalue(f"{request.param}_url"))
    schema.migrate(engine)
    yield SqlSeriesStore(engine)
    engine.dispose()


def put(store: Store, candles: list[Candle], rows: list[AverageRow], now: int = NOW) -> int:
    """Write in one unit and return the revision."""
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(candles)
        unit.put_averages(rows)
        return unit.finish(changed=True, now=now)


def put_elsewhere(store: Store, candles: list[Candle]) -> None:
    """Another series of the same store."""
    with store.begin(ETH_DAILY) as unit:
        unit.put_candles(candles)
        unit.put_averages([AverageRow(item.bucket, (7, None, None)) for item in candles])
        unit.finish(changed=True, now=NOW)


def lose_candle(store: Store, number: int) -> None:
    """Delete a day's candle as someone does who holds the database to none of its rules."""
    if isinstance(store, MemorySeriesStore):
        with store.begin(BTC_DAILY) as unit:
            assert isinstance(unit, MemorySeriesUnit)
            del unit._stored.candles[day(number)]
        return
    lawless = {
        "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"),
        "postgresql": (
            "SET session_replication_role = replica",
            "SET session_replication_role = DEFAULT",
        ),
    }
    begin, end = lawless[store._engine.dialect.name]
    with store._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(begin))
        connection.execute(
            text("DELETE FROM candles WHERE pair = 'BTC-BRL' AND bucket = :at"), {"at": day(number)}
        )
        connection.execute(text(end))


def wrong_averages(store: Store, first: int, last: int) -> list[int]:
    """The buckets whose averages contradict the candles."""
    return survey(store, BTC_DAILY, Span(first, last))[1]


def absent(store: Store, first: int, last: int) -> list[int]:
    """The buckets that are noted as absent."""
    return [item.bucket for item in store.absences(BTC_DAILY, first, last)]


# A number that fits in 64 bits of 1e-8, numbers that do not or are finer, and none.
LONGEST = "9" * 40 + "." + "9" * 40
VOLUMES: list[Exact | None] = [0, "92233720368.54775808", "0.000000001", None, LONGEST]


def test_a_series_that_was_never_loaded_is_empty(store: Store) -> None:
    assert store.state(BTC_DAILY) == EMPTY_SERIES
    assert store.buckets(BTC_DAILY, [(0, NOW)]) == []
    assert store.extent(BTC_DAILY, 0, NOW) == (0, None, None)
    assert store.rows(BTC_DAILY, 0, NOW) == (EMPTY_SERIES, [])
    assert absent(store, 0, NOW) == []
    found = store.read(BTC_DAILY, 20, 0, NOW)
    assert (found.state, found.count, found.body) == (EMPTY_SERIES, 0, b"[]\n")


def test_the_marks_of_all_series_are_those_of_their_states(store: Store) -> None:
    assert store.marks() == {}
    put(store, daily([1, 2]), [])
    store.note_first_try(ETH_DAILY, NOW)
    state = store.state(BTC_DAILY)
    assert store.marks() == {
        ("BTC-BRL", "1d"): (state.revision, state.checked_at),
        ("ETH-BRL", "1d"): (0, None),
    }


def test_the_first_try_of_a_load_is_noted_once_and_stays(store: Store) -> None:
    store.note_first_try(BTC_DAILY, NOW + 0.5)
    assert store.state(BTC_DAILY) == replace(EMPTY_SERIES, first_tried_at=NOW)
    store.note_first_try(BTC_DAILY, NOW + 60)
    with store.begin(BTC_DAILY) as unit:
        assert unit.state.first_tried_at == NOW
        unit.put_candles([candle(day(1), 3)])
        unit.finish(changed=True, now=NOW + 90)
    state, _ = store.rows(BTC_DAILY, 0, NOW)
    assert (state.first, state.first_tried_at) == (day(1), NOW)
    assert store.read(BTC_DAILY, 20, 0, NOW).state == store.version(BTC_DAILY).state == state


def test_a_series_that_an_earlier_program_loaded_has_no_first_try(store: Store) -> None:
    with store.begin(BTC_DAILY) as unit:
        unit.finish(changed=False, now=NOW)
    store.note_first_try(BTC_DAILY, NOW + 60)
    assert store.state(BTC_DAILY).first_tried_at is None


def test_what_was_written_is_read_back_to_the_last_digit(store: Store) -> None:
    candles = [
        Candle(day(1), 2, MAX_PRICE, 1, 3, 2**63 - 1),
        *(
            replace(candle(day(2 + number), 35344662655678), volume=volume)
            for number, volume in enumerate(VOLUMES)
        ),
    ]
    rows = [AverageRow(day(1), (1, None, MAX_PRICE))]
    rows += [AverageRow(day(2 + number), (7, 8, 9)) for number in range(len(VOLUMES))]
    revision = put(store, candles, rows)
    state, found = store.rows(BTC_DAILY, day(0), day(9))
    assert found == list(zip(candles, rows, strict=True))
    assert (state.revision, state.first, state.last) == (revision, day(1), candles[-1].bucket)
    with store.begin(BTC_DAILY) as unit:
        assert unit.candles(day(1), day(9)) == candles
    assert state == store.state(BTC_DAILY)
    assert state.checked_at == NOW


def test_both_ends_of_a_period_are_included_and_nothing_beyond(store: Store) -> None:
    candles = daily(range(10))
    put(store, candles, [AverageRow(item.bucket, (1, 1, 1)) for item in candles])
    assert store.buckets(BTC_DAILY, [(day(3), day(5))]) == [day(3), day(4), day(5)]
    assert store.extent(BTC_DAILY, day(3), day(5)) == (3, day(3), day(5))
    assert [c.bucket for c, _ in store.rows(BTC_DAILY, day(3), day(5))[1]] == [
        day(3),
        day(4),
        day(5),
    ]
    assert store.read(BTC_DAILY, 20, day(3), day(5)).count == 3
    assert store.read(BTC_DAILY, 20, day(5), day(3)).count == 0


def test_the_first_rows_of_either_order_are_those_of_the_whole(store: Store) -> None:
    candles = [candle(day(n), 100 + n) for n in range(30) if n % 7]
    means = [None if n % 5 == 0 else n for n in range(len(candles))]
    rows = [AverageRow(c.bucket, (n, None, 1)) for c, n in zip(candles, means, strict=True)]
    put(store, candles, [row for row in rows if row.values[0] != 8])
    period = BTC_DAILY, day(2), day(27)
    state, whole = store.rows(*period)
    _, averages = store.means(BTC_DAILY, 20, day(2), day(27))
    for descending, limit in itertools.product((False, True), (None, 1, 2, 9, 22, 10_000)):
        order = -1 if descending else 1
        found = store.rows(*period, limit, descending=descending)
        assert found == (state, whole[::order][:limit])
        read = store.means(BTC_DAILY, 20, day(2), day(27), limit, descending=descending)
        assert read == (state, averages[::order][:limit])
    assert store.rows(BTC_DAILY, day(28), day(99), 5, descending=True)[0] == state


def test_a_second_write_replaces_and_leaves_the_rest(store: Store) -> None:
    put(store, daily([1, 2, 3]), [AverageRow(day(n), (n, n, n)) for n in (1, 2, 3)])
    put(store, [candle(day(2), 777)], [AverageRow(day(2), (None, 5, None))])
    found = {c.bucket: (c.close, row.values) for c, row in store.rows(BTC_DAILY, 0, NOW)[1]}
    assert found[day(2)] == (777, (None, 5, None))
    assert found[day(1)][1] == (1, 1, 1)
    assert len(found) == 3


def test_an_error_undoes_the_whole_unit(store: Store) -> None:
    revision = put(store, daily([1]), [])

    def fail_at_the_end() -> None:
        with store.begin(BTC_DAILY) as unit:
            unit.put_candles(daily([2, 3]))
            unit.note_absent([day(4)], NOW)
            unit.finish(changed=True, now=NOW + 99)
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_at_the_end()
    assert store.buckets(BTC_DAILY, [(0, NOW)]) == [day(1)]
    assert absent(store, 0, NOW) == []
    assert store.state(BTC_DAILY).revision == revision
    assert store.state(BTC_DAILY).checked_at == NOW


def test_a_revision_grows_with_every_change_even_when_the_clock_does_not(store: Store) -> None:
    first = put(store, daily([1]), [])
    second = put(store, daily([2]), [])
    third = put(store, daily([3]), [], now=NOW - 5000)
    assert first < second < third


def test_a_load_that_changes_nothing_keeps_the_revision_and_notes_the_check_if_it_was_one(
    store: Store,
) -> None:
    revision = put(store, daily([1]), [])
    with store.begin(BTC_DAILY) as unit:
        assert unit.finish(changed=False, now=NOW + 60) == revision
    with store.begin(BTC_DAILY) as unit:
        unit.finish(changed=False, now=NOW + 90, checked=False)
    assert store.state(BTC_DAILY).revision == revision
    assert store.state(BTC_DAILY).checked_at == NOW + 60


def test_a_unit_reads_its_own_writes(store: Store) -> None:
    candles = daily(range(5))
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(candles)
        assert unit.candles(day(1), day(3)) == candles[1:4]
        assert unit.closes(day(1), day(3)) == (
            [day(1), day(2), day(3)],
            [item.close for item in candles[1:4]],
        )
        unit.finish(changed=True, now=NOW)


def test_absent_buckets_are_remembered_with_the_time_they_were_asked(store: Store) -> None:
    with store.begin(BTC_DAILY) as unit:
        unit.note_absent([day(3), day(4)], NOW)
        unit.finish(changed=False, now=NOW)
    with store.begin(BTC_DAILY) as unit:
        unit.note_absent([day(4), day(5)], NOW + 100)
        unit.finish(changed=False, now=NOW + 100)
    assert absent(store, 0, NOW) == [day(3), day(4), day(5)]
    assert store.absences(BTC_DAILY, 0, NOW) == [
        Absent(day(3), NOW, NOW),
        Absent(day(4), NOW, NOW + 100),
        Absent(day(5), NOW + 100, NOW + 100),
    ]
    assert absent(store, day(4), day(4)) == [day(4)]
    put(store, daily([3, 5]), [])  # what has arrived is no longer absent
    assert absent(store, 0, NOW) == [day(4)]


def test_writers_of_one_series_wait_for_each_other(store: Store) -> None:
    writers, rounds = 4, 5
    start = Barrier(writers)

    def write() -> None:
        start.wait(timeout=10)
        for _ in range(rounds):
            with store.begin(BTC_DAILY) as unit:
                buckets, _closes = unit.closes(0, NOW)
                unit.put_candles(daily([len(buckets)]))
                unit.finish(changed=True, now=NOW)

    threads = [Thread(target=write) for _ in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert store.buckets(BTC_DAILY, [(0, NOW)]) == [
        day(number) for number in range(writers * rounds)
    ]


def test_more_rows_than_one_statement_takes_are_written_whole(store: Store) -> None:
    minutes = Series(BTC, Interval.MINUTE)
    candles = [candle(day(0) + 60 * number, 100 + number) for number in range(10_001)]
    with store.begin(minutes) as unit:
        unit.put_candles(candles)
        unit.put_averages([AverageRow(item.bucket, (1, None, 2)) for item in candles])
        unit.note_absent([day(30) + 60 * number for number in range(10_001)], NOW)
        unit.finish(changed=True, now=NOW)
    assert store.buckets(minutes, [(0, NOW)]) == [item.bucket for item in candles]
    assert store.read(minutes, 200, 0, NOW).count == 10_001
    assert len(store.absences(minutes, 0, NOW)) == 10_001


@pytest.mark.parametrize("window", WINDOWS)
def test_averages_that_contradict_the_candles_are_named(store: Store, window: int) -> None:
    column = WINDOWS.index(window)
    numbers = [number for number in range(450) if number != 230]

    def whole(number: int, length: int) -> bool:
        return length <= number + 1 and not number - length < 230 <= number

    rows = {
        number: [7 if whole(number, length) else None for length in WINDOWS] for number in numbers
    }
    put(store, daily(numbers), [AverageRow(day(n), tuple(means)) for n, means in rows.items()])
    assert wrong_averages(store, day(0), day(449)) == []
    spoilt = {n: list(rows[n]) for n in (5, window - 1, 229, 231, 230 + window, 449)}
    for means in spoilt.values():
        means[column] = None if means[column] else 7
    put(store, [], [AverageRow(day(n), tuple(means)) for n, means in sorted(spoilt.items())])
    assert wrong_averages(store, day(0), day(449)) == [day(n) for n in sorted(spoilt)]
    assert wrong_averages(store, day(300), day(449)) == [day(n) for n in sorted(spoilt) if n >= 300]


def test_a_candle_without_a_row_of_averages_is_named_once_its_window_is_whole(store: Store) -> None:
    put(store, daily(range(25)), [])
    assert wrong_averages(store, day(0), day(24)) == [day(n) for n in range(19, 25)]


def test_averages_whose_candle_is_gone_are_named_and_can_be_dropped(store: Store) -> None:
    lost = (5, 10, 24)
    put(store, daily(range(25)), [AverageRow(day(n), (None,) * 3) for n in range(19)])
    put(store, [], [AverageRow(day(n), (7, None, None)) for n in range(19, 25)])
    put_elsewhere(store, daily(range(25)))
    assert wrong_averages(store, day(0), day(24)) == []
    for number in lost:
        lose_candle(store, number)
    # Those that contain one of them are wrong as well.
    assert wrong_averages(store, day(0), day(24)) == [
        day(5),
        day(10),
        *map(day, range(19, 25)),
    ]
    assert wrong_averages(store, day(6), day(10)) == [day(10)]
    with store.begin(BTC_DAILY) as unit:
        assert unit.drop_orphans(day(6), day(23)) == 1
        unit.finish(changed=True, now=NOW)
    assert wrong_averages(store, day(0), day(12)) == [day(5)]
    with store.begin(BTC_DAILY) as unit:
        assert unit.drop_orphans(day(0), day(24)) == 2
        assert unit.drop_orphans(day(0), day(24)) == 0
        unit.finish(changed=True, now=NOW)
    assert wrong_averages(store, day(0), day(24)) == [day(n) for n in range(19, 24)]
    assert store.read(BTC_DAILY, 20, day(24), day(24)).count == 0
    assert store.read(ETH_DAILY, 20, day(0), day(24)).count == 25


def test_candles_and_full_rows_of_averages_are_counted_by_stretches(store: Store) -> None:
    means = {1: (1, None, None), 2: (1, 2, None), 3: (1, 2, 3), 5: (None, 2, 3), 8: (1, 2, 3)}
    rows = [AverageRow(day(n), values) for n, values in sorted(means.items())]
    put(store, daily([1, 2, 3, 5, 8, 9]), rows)
    put_elsewhere(store, daily(range(12)))
    assert store.stretches(BTC_DAILY, day(0), day(8), 4) == [(3, 1), (1, 0), (1, 1)]
    assert store.stretches(BTC_DAILY, day(2), day(3), 4) == [(2, 1)]
    assert store.stretches(BTC_DAILY, day(2), day(9), 4) == [(3, 1), (2, 1)]
    assert store.averaged(BTC_DAILY, [(day(0), day(9))]) == [
        (day(1), 1),
        (day(2), 3),
        (day(3), 7),
        (day(5), 6),
        (day(8), 7),
    ]
    assert store.averaged(BTC_DAILY, [(day(2), day(5))]) == [(day(2), 3), (day(3), 7), (day(5), 6)]


def test_a_hundred_spans_are_read_at_once(store: Store) -> None:
    put(store, daily(range(400)), [AverageRow(day(n), (1, None, None)) for n in range(400)])
    put_elsewhere(store, daily(range(500)))
    spans = [(day(n), day(n + 1)) for n in range(2, 402, 4)]
    inside = [day(n) for n in range(400) if n % 4 >= 2]
    assert len(spans) == 100
    assert store.buckets(BTC_DAILY, spans) == inside
    assert store.averaged(BTC_DAILY, spans) == [(bucket, 1) for bucket in inside]
    assert (store.buckets(BTC_DAILY, []), store.averaged(BTC_DAILY, [])) == ([], [])
    if isinstance(store, SqlSeriesStore) and store._engine.dialect.name == "sqlite":
        query = statements.averaged(BTC_DAILY, spans).compile(
            store._engine, compile_kwargs={"literal_binds": True}
        )
        with store._engine.connect() as connection:
            plan = str(connection.execute(text(f"EXPLAIN QUERY PLAN {query}")).all())
        assert plan.count("bucket>? AND bucket<?") == 100


def test_a_version_changes_with_the_data_the_absences_and_the_quarantine(store: Store) -> None:
    versions = [store.version(BTC_DAILY)]
    assert versions == [SeriesVersion(EMPTY_SERIES)]

    def changed() -> bool:
        """Whether there is a new version, of the state as it is now."""
        versions.append(store.version(BTC_DAILY))
        assert versions[-1].state == store.state(BTC_DAILY)
        return versions[-1] not in versions[:-1]

    put(store, daily([1]), [])
    assert changed()
    # Neither of these gives the series a new state.
    for seen_at in (NOW, NOW + 1):
        with store.begin(BTC_DAILY) as unit:
            unit.note_absent([day(2)], seen_at)
        assert changed()
        with store.begin(BTC_DAILY) as unit:
            unit.quarantine([RefusedCandle(day(3), "odd"), RefusedCandle(None, "odd")], seen_at)
        assert changed()
    assert {version.state for version in versions[1:]} == {store.state(BTC_DAILY)}
    put_elsewhere(store, daily([5]))
    with store.begin(ETH_DAILY) as unit:
        unit.note_absent([day(2)], NOW)
        unit.quarantine([RefusedCandle(day(3), "odd")], NOW)
    assert not changed()


def test_buckets_with_a_candle_or_a_note_that_there_is_none_are_settled(store: Store) -> None:
    assert store.settled(BTC_DAILY, 0, NOW) == 0
    put(store, daily([1, 2, 5]), [])
    put_elsewhere(store, daily(range(9)))
    with store.begin(BTC_DAILY) as unit:
        unit.note_absent([day(3), day(4), day(8)], NOW)
        unit.quarantine([RefusedCandle(day(6), "odd")], NOW)
        unit.finish(changed=False, now=NOW)
    assert store.settled(BTC_DAILY, day(0), day(9)) == 6
    assert store.settled(BTC_DAILY, day(2), day(4)) == 3
    assert store.settled(BTC_DAILY, day(6), day(7)) == 0
    assert store.settled(BTC_DAILY, day(4), day(3)) == 0


def test_refused_candles_are_kept_once_per_reason_with_both_sights(store: Store) -> None:
    odd, other = RefusedCandle(day(3), "odd"), RefusedCandle(None, "no stamp")
    for now, refused in ((NOW, [odd, odd, other]), (NOW + 60, [odd]), (NOW + 90, [])):
        with store.begin(BTC_DAILY) as unit:
            unit.quarantine(refused, now)
            unit.finish(changed=False, now=now)
    assert store.quarantined(BTC_DAILY, 0, NOW) == [
        QuarantinedCandle(day(3), "odd", NOW, NOW + 60),
        QuarantinedCandle(None, "no stamp", NOW, NOW),
    ]
    assert store.quarantined(BTC_DAILY, day(4), NOW) == [
        QuarantinedCandle(None, "no stamp", NOW, NOW)
    ]
    assert len(store.quarantined(BTC_DAILY, 0, NOW, 1)) == 1
    assert store.quarantined(ETH_DAILY, 0, NOW) == []


@pytest.mark.parametrize("volumes", [VOLUMES[:3], VOLUMES[1:4], VOLUMES[2:]])
def test_a_revised_candle_is_kept_as_it_was_and_as_it_is(
    store: Store, volumes: list[Exact | None]
) -> None:
    old = [replace(c, volume=v) for c, v in zip(daily([1, 2, 3]), volumes, strict=True)]
    new = [replace(c, volume=v) for c, v in zip(daily([1, 2, 3], 2), volumes[::-1], strict=True)]
    put(store, old, [])
    for now, numbers in ((NOW + 60, (0, 2)), (NOW + 90, (1,))):
        with store.begin(BTC_DAILY) as unit:
            unit.put_candles([new[number] for number in numbers])
            unit.note_revised([(old[number], new[number]) for number in numbers])
            unit.finish(changed=True, now=now)
    found = store.revisions(BTC_DAILY, 10)
    assert [(r.old, r.new, r.noticed_at) for r in found] == [
        (old[1], new[1], NOW + 90),
        (old[2], new[2], NOW + 60),
        (old[0], new[0], NOW + 60),
    ]
    assert found[0].revision == store.state(BTC_DAILY).revision
    assert found[1].revision == found[2].revision < found[0].revision
    assert store.revisions(BTC_DAILY, 1) == found[:1]
    assert store.revisions(ETH_DAILY, 10) == []
    assert [item for item, _ in store.rows(BTC_DAILY, 0, NOW)[1]] == new


def test_a_note_about_a_volume_is_kept_beside_the_refusals_and_told_from_them(store: Store) -> None:
    notes = [VolumeNote(day(3), f"{start} The volume is missing.") for start in NOTES]
    with store.begin(BTC_DAILY) as unit:
        unit.quarantine([RefusedCandle(day(3), "The close is missing."), *notes], NOW)
        unit.finish(changed=False, now=NOW)
    kept = store.quarantined(BTC_DAILY, 0, NOW)
    assert [(item.used, item.reason) for item in kept] == [
        (False, "The close is missing."),
        *((True, note.reason) for note in sorted(notes, key=lambda note: note.reason)),
    ]
    assert store.quarantined(BTC_DAILY, 0, NOW, notes=False) == kept[:1]


def test_a_cleared_series_holds_its_absences_and_revisions_and_nothing_else(store: Store) -> None:
    old, new = candle(day(2), 10), candle(day(2), 11)
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(daily([1, 2, 3]))
        unit.put_averages([AverageRow(day(3), (5, None, None))])
        unit.note_absent([day(4)], NOW)
        unit.quarantine([RefusedCandle(day(5), "It is wrong.")], NOW)
        unit.note_revised([(old, new)])
        before = unit.finish(changed=True, now=NOW)
    put_elsewhere(store, daily([1]))
    with store.begin(BTC_DAILY) as unit:
        assert unit.clear() == [day(1), day(2), day(3)]
        assert (unit.state.first, unit.state.last) == (None, None)
        assert unit.candles(0, day(9)) == []
        unit.finish(changed=True, now=NOW)
    state = store.state(BTC_DAILY)
    assert (state.first, state.last, state.revision > before) == (None, None, True)
    assert store.rows(BTC_DAILY, 0, day(9))[1] == []
    assert store.quarantined(BTC_DAILY, 0, day(9)) == []
    assert [item.bucket for item in store.absences(BTC_DAILY, 0, day(9))] == [day(4)]
    assert [item.new for item in store.revisions(BTC_DAILY, 9)] == [new]
    assert wrong_averages(store, 0, day(9)) == []
    assert len(store.rows(ETH_DAILY, 0, day(9))[1]) == 1
