"""Rows from an exchange are taken whole and beyond doubt, or refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.market import (
    MAX_PRICE,
    OLDEST_BUCKET,
    Candle,
    Exact,
    Interval,
    RefusedCandle,
    VolumeNote,
)
from app.domain import fixed_point
from app.domain.candles import (
    AHEAD,
    SETTLING,
    UNCERTAIN,
    RawCandle,
    ReplyTimes,
    closed_page,
    judged,
)

DAY = Interval.DAY
FIRST = 1_711_584_000  # 2024-03-28
STEP = DAY.seconds
LAST = FIRST + 9 * STEP
LATEST = LAST + STEP + AHEAD


def row(bucket: object = FIRST, **changes: object) -> RawCandle:
    """A good row, but for the named changes."""
    good = RawCandle(bucket, "355889.5582945", "356834.98169774", 348861, "353446.62655678", "15.6")
    return good._replace(**changes)


def at(made_at: int, ours: int | None = None) -> ReplyTimes:
    """The times of a fresh reply; our clock is right unless `ours` says otherwise."""
    return ReplyTimes(made_at, made_at if ours is None else ours, made_at, made_at)


def reasons(*rows: RawCandle, interval: Interval = DAY) -> list[str]:
    """Why rows are refused; asserts that nothing of them is taken."""
    candles, refused, _ = judged(rows, interval, FIRST, LAST, LATEST)
    assert candles == ()
    return [item.reason for item in refused]


units = st.integers(1, MAX_PRICE)
volumes = st.builds("{}.{}".format, st.integers(0, 10**40 - 1), st.integers(0, 10**40 - 1))


@st.composite
def candle(draw: st.DrawFn) -> Candle:
    """Any valid candle of the ten days."""
    low, first, second, high = sorted(draw(st.tuples(units, units, units, units)))
    opened, closed = draw(st.permutations([first, second]))
    bucket = FIRST + draw(st.integers(0, 9)) * STEP
    return Candle(bucket, opened, high, low, closed, draw(volumes.map(fixed_point.kept)))


def unique(candles: list[Candle]) -> list[Candle]:
    return list({item.bucket: item for item in candles}.values())


def raw(item: Candle) -> RawCandle:
    values: list[Exact] = [item.open, item.high, item.low, item.close]
    if item.volume is not None:
        values.append(item.volume)
    return RawCandle(item.bucket, *(fixed_point.text(value) for value in values))


@given(st.lists(candle()).map(unique))
def test_valid_rows_in_any_order_come_out_ascending_and_unchanged(candles: list[Candle]) -> None:
    taken, refused, _ = judged((raw(item) for item in candles), DAY, FIRST, LAST, LATEST)
    assert list(taken) == sorted(candles, key=lambda item: item.bucket)
    assert refused == ()


@pytest.mark.parametrize("stamp", [str(FIRST), f"{FIRST}.00", f"{FIRST}e0"])
def test_a_stamp_in_whole_seconds_may_have_any_form_of_a_number(stamp: object) -> None:
    assert judged([row(stamp)], DAY, FIRST, LAST, LATEST) == judged(
        [row()], DAY, FIRST, LAST, LATEST
    )


@given(st.lists(candle(), min_size=1).map(unique), st.data())
def test_a_row_that_comes_again_counts_once(candles: list[Candle], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(candles)))
    rows = data.draw(st.permutations([raw(item) for item in candles + again]))
    assert judged(rows, DAY, FIRST, LAST, LATEST) == judged(
        map(raw, candles), DAY, FIRST, LAST, LATEST
    )


@given(st.permutations([row(), row(close="353446.62655679"), row()]))
def test_rows_of_one_bucket_that_differ_leave_a_hole_rather_than_a_guess(
    rows: list[RawCandle],
) -> None:
    other = row(FIRST + STEP)
    taken, refused, _ = judged([*rows, other], DAY, FIRST, LAST, LATEST)
    assert [item.bucket for item in taken] == [FIRST + STEP]
    assert [item.bucket for item in refused] == [FIRST]
    assert "more than once" in refused[0].reason


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"close": "0"}, "close '0' is not above zero"),
        ({"open": "-353446.1"}, "open '-353446.1' is not above zero"),
        ({"close": "353446.123456789"}, "finer than 1e-8"),
        ({"close": None}, "close is missing"),
        ({"high": "NaN"}, "high cannot be used"),
        ({"close": True}, "close True is no number"),
        ({"close": [1]}, "close (a list) is no number"),
        ({"high": fixed_point.text(MAX_PRICE + 1)}, "highest price"),
        ({"high": "353446.62655677"}, "lies above the high"),
        ({"low": "353446.62655679"}, "lies below the low"),
    ],
)
def test_a_row_with_a_bad_value_is_refused_by_the_value_s_name(
    changed: dict[str, object], names: str
) -> None:
    (reason,) = reasons(row(**changed))
    assert names in reason
    assert reason.endswith(".")


@pytest.mark.parametrize(
    "volume",
    [
        *["92233720368.54775807", "92233720368.54775808", "2762299281351", "46000000000000.5"],
        *["0.000000001", "15.612345678901234567", "9" * 40 + "." + "9" * 40, "1e-40", "0"],
        *[15, 10**39],
    ],
)
def test_a_volume_of_any_size_and_fineness_is_kept_exactly(volume: object) -> None:
    (candle,), refused, notes = judged([row(volume=volume)], DAY, FIRST, LAST, LATEST)
    assert candle.volume is not None
    assert fixed_point.as_decimal(candle.volume) == Decimal(str(volume))
    assert (refused, notes) == ((), ())


@pytest.mark.parametrize(
    ("volume", "names"),
    [
        (None, "volume is missing"),
        ("", "volume cannot be used: '' is not a decimal number"),
        ("NaN", "'NaN' is not a decimal number"),
        ("-Infinity", "'-Infinity' is not a decimal number"),
        ("-0.00000001", "volume '-0.00000001' is negative"),
        (-1, "volume -1 is negative"),
        (False, "volume False is no number"),
        ([1], "volume (a list) is no number"),
        ({}, "volume (an object) is no number"),
        ("1e40", "more than 40 digits"),
        ("1e-41", "more than 40 digits"),
        ("9" * 5_000, "is not a decimal number"),
    ],
)
def test_a_volume_that_is_none_costs_the_candle_nothing_else(volume: object, names: str) -> None:
    (candle,), refused, (note,) = judged([row(volume=volume)], DAY, FIRST, LAST, LATEST)
    (good,), _, _ = judged([row()], DAY, FIRST, LAST, LATEST)
    assert candle == replace(good, volume=None)
    assert refused == ()
    assert note.bucket == FIRST
    assert names in note.reason
    assert note.reason.endswith(".")


@given(st.permutations(["1.5", None, "NaN", "1.50"]), st.booleans())
def test_rows_that_differ_in_the_volume_alone_are_one_candle(
    volumes: list[str | None], contradicted: bool
) -> None:
    rows = [row(volume=volume) for volume in [*volumes, *(["2.5"] if contradicted else [])]]
    (candle,), refused, notes = judged(rows, DAY, FIRST, LAST, LATEST)
    assert refused == ()
    if contradicted:
        assert candle.volume is None
        assert notes == (
            VolumeNote(FIRST, "This bucket came more than once, with different volumes."),
        )
    else:
        assert candle.volume == fixed_point.kept("1.5")
        assert notes == ()


@pytest.mark.parametrize(
    ("stamp", "names"),
    [
        (FIRST * 1_000, "not in unix seconds"),
        (0, "before 2011"),
        (OLDEST_BUCKET - STEP, "before 2011"),
        (None, "stamp is missing"),
        ({}, "no number"),
        ("2024-03-28", "cannot be used"),
        (f"{FIRST}.5", "no whole number of seconds"),
    ],
)
def test_a_stamp_that_no_exchange_can_mean_is_refused_wherever_it_lies(
    stamp: object, names: str
) -> None:
    candles, refused, _ = judged([row(stamp)], DAY, FIRST, LAST, LATEST)
    assert candles == ()
    (refusal,) = refused
    assert refusal.bucket is None
    assert names in refusal.reason


def test_a_value_nested_to_the_edge_of_the_stack_is_refused_like_any_other() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for field in RawCandle._fields:
        _, refused, notes = judged([row()._replace(**{field: deep})], DAY, FIRST, LAST, LATEST)
        (item,) = refused or notes
        assert "(a list) is no number" in item.reason


def test_a_stamp_beside_the_grid_is_refused_and_names_the_interval() -> None:
    (reason,) = reasons(row(FIRST + 10_800))
    assert "1d" in reason
    assert str(FIRST + 10_800) in reason
    _, refused, _ = judged([row(LAST + 10_800), row(FIRST + 1)], DAY, FIRST, LAST, LATEST)
    assert [item.bucket for item in refused] == [FIRST, LAST]


stamps = st.sampled_from([FIRST + number * STEP for number in range(-2, 13)])
anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=6)
    | st.lists(st.none(), max_size=1)
    | st.sampled_from(["353446.62655678", "1", 1, "0.00000001", "1e5"])
)


@given(st.lists(st.builds(RawCandle, stamps | anything, *[anything] * 5)))
def test_whatever_comes_nothing_asked_for_vanishes_and_nothing_invalid_passes(
    rows: list[RawCandle],
) -> None:
    candles, refused, notes = judged(rows, DAY, FIRST, LAST, LATEST)
    buckets = [item.bucket for item in candles]
    assert buckets == sorted(set(buckets))
    for item in candles:
        assert item.bucket % STEP == 0
        assert FIRST <= item.bucket <= LAST
        assert 0 < item.low <= min(item.open, item.close)
        assert max(item.open, item.close) <= item.high <= MAX_PRICE
        assert item.volume is None or fixed_point.as_decimal(item.volume) >= 0
    assert [note.bucket for note in notes] == [c.bucket for c in candles if c.volume is None]
    answered = {*buckets, *(item.bucket for item in refused)}
    for sent in rows:
        traded = any(value is not None for value in sent[1:5])
        if traded and type(sent.bucket) is int and FIRST <= sent.bucket <= LAST:
            assert DAY.floor(sent.bucket) in answered


@given(st.lists(anything | st.text() | st.floats() | st.dictionaries(st.text(), st.none())))
def test_no_volume_whatever_loses_a_row_with_good_prices(sent: list[object]) -> None:
    rows = [row(FIRST + n * STEP, volume=volume) for n, volume in enumerate(sent[:10])]
    candles, refused, _ = judged(rows, DAY, FIRST, LAST, LATEST)
    (good,), _, _ = judged([row()], DAY, FIRST, LAST, LATEST)
    assert [replace(item, volume=None) for item in candles] == [
        replace(good, bucket=FIRST + n * STEP, volume=None) for n in range(len(rows))
    ]
    assert refused == ()


@given(now=st.integers(FIRST - 2 * STEP, LAST + 3 * STEP))
@example(now=LAST + STEP + SETTLING - 1)
@example(now=LAST + STEP + SETTLING)
@example(now=FIRST)
def test_a_page_ends_where_the_exchange_s_clock_has_closed_the_last_bucket(now: int) -> None:
    rows = [row(bucket) for bucket in range(FIRST, min(now, LAST + STEP) + 1, STEP)]
    page = closed_page(rows, DAY, FIRST, LAST, at(now))
    assert [item.bucket for item in page.candles] == [
        bucket for bucket in range(FIRST, LAST + 1, STEP) if bucket + STEP + SETTLING <= now
    ]
    assert page.first == FIRST
    assert page.last == min(LAST, DAY.last_closed(now - SETTLING))
    assert page.complete == (now < LAST + STEP + SETTLING)
    assert page.exchange_time == now
    assert page.refused == ()


@pytest.mark.parametrize("interval", [Interval.MINUTE, Interval.DAY])
@pytest.mark.parametrize(
    ("after", "later", "closed"),
    [
        (UNCERTAIN - 1, [], False),
        (UNCERTAIN, [], True),
        (SETTLING, [0], True),
        (SETTLING - 1, [0], False),
        # What is no row of a later bucket proves nothing.
        (SETTLING, [1], False),
        (SETTLING, [AHEAD * 1_000], False),
        (SETTLING, [None], False),
    ],
)
def test_a_newest_candle_that_has_just_ended_may_have_been_read_while_it_was_running(
    interval: Interval, after: int, later: list[int | None], closed: bool
) -> None:
    step, end = interval.seconds, FIRST + interval.seconds
    newest = end - step
    rows = [row(newest - step), row(newest)]
    rows += [row(None if offset is None else end + offset) for offset in later]
    # The last requested bucket ends long after this.
    page = closed_page(rows, interval, newest - 2 * step, newest + 500 * step, at(end + after))
    expected = newest if closed else newest - step
    assert [item.bucket for item in page.candles][-1] == expected
    assert page.complete
    # No absence is noted of a bucket that is held back, nor of one after it.
    assert page.last == expected if interval.seconds > UNCERTAIN else page.last <= end


@pytest.mark.parametrize(
    ("ours", "closed"), [(STEP - 1, False), (STEP + UNCERTAIN - 1, False), (STEP + UNCERTAIN, True)]
)
def test_a_host_s_clock_that_is_ahead_does_not_close_a_running_candle(
    ours: int, closed: bool
) -> None:
    rows = [row(FIRST - STEP), row(FIRST)]
    page = closed_page(rows, DAY, FIRST - STEP, LAST, at(FIRST + 2 * STEP, FIRST + ours))
    assert [item.bucket for item in page.candles][-1] == (FIRST if closed else FIRST - STEP)


def test_a_clock_of_ours_that_is_far_behind_holds_no_closed_candle_back() -> None:
    rows = [row(FIRST - STEP), row(FIRST)]
    page = closed_page(rows, DAY, FIRST - STEP, FIRST, at(LAST, FIRST - 9 * STEP))
    assert (page.last, page.complete) == (FIRST, False)


def test_a_row_without_a_trade_is_an_absence_and_the_same_bucket_with_values_a_candle() -> None:
    empty = {"open": None, "high": None, "low": None, "close": None}
    rows = [
        row(FIRST, **empty, volume="0"),
        row(FIRST + STEP, **empty, volume=None),
        row(FIRST + STEP),
        row(FIRST + 2 * STEP),
        row(FIRST + 2 * STEP, **empty),
        row(FIRST + 3 * STEP, **empty | {"close": "5"}),
        row(FIRST + 4 * STEP + 1, **empty),
        row(None, **empty, volume=None),
    ]
    candles, refused, _ = judged(rows, DAY, FIRST, LAST, LATEST)
    assert [item.bucket for item in candles] == [FIRST + STEP, FIRST + 2 * STEP]
    assert [item.bucket for item in refused] == [FIRST + 3 * STEP, FIRST + 4 * STEP]


def test_rows_without_a_trade_do_not_show_that_the_candle_before_them_had_ended() -> None:
    empty = {"open": None, "high": None, "low": None, "close": None}
    rows = [row(FIRST), row(FIRST + STEP), row(FIRST + 2 * STEP, **empty)]
    page = closed_page(rows, DAY, FIRST, LAST, at(FIRST + 2 * STEP + SETTLING))
    assert [item.bucket for item in page.candles] == [FIRST]
    assert page.last == FIRST


@pytest.mark.parametrize("interval", list(Interval))
def test_a_candle_of_the_future_is_refused_and_one_that_has_just_begun_is_not(
    interval: Interval,
) -> None:
    now = FIRST + 10 * STEP
    ahead = max(AHEAD, interval.seconds)
    rows = [row(now), row(now + interval.seconds), row(now + ahead), row(now + ahead + 1)]
    page = closed_page(rows, interval, FIRST, now + 500 * STEP, at(now))
    assert page.candles == ()
    (refusal,) = page.refused
    assert refusal.bucket is None
    assert "lies in the future" in refusal.reason


def test_the_running_candle_is_left_out_without_a_word_however_odd_it_is() -> None:
    rows = [row(FIRST), row(FIRST + STEP, close=None), row(FIRST + 2 * STEP)]
    page = closed_page(rows, DAY, FIRST, LAST, at(FIRST + 2 * STEP + SETTLING - 1))
    assert [item.bucket for item in page.candles] == [FIRST]
    assert page.notes == ()
    closed = closed_page(rows, DAY, FIRST, LAST, at(FIRST + 2 * STEP + SETTLING))
    assert closed.notes == ()
    assert closed.refused == (RefusedCandle(FIRST + STEP, "The close is missing."),)
