"""What becomes of single candles that are wrong, in both formats, over real HTTP and into a database.

A candle is stored as a whole or not at all; the averages are those of what is stored; and once the
exchange sends the candle rightly, the next load puts it where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from app.services.loaders import load_incremental
from app.services.loading import LoadReport, load
from app.utils.gaps import Span
from tests.support.faulty import (
    BTC,
    DAY,
    FIRST,
    FORMATS,
    LAST,
    SERVED,
    Rig,
    Rows,
    Served,
    by_hand,
    migrated,
    rig,
    served,
    truth,
)

BAD = LAST - 20 * DAY.seconds
"""The bucket of the wrong candle: in the first request, and long before what is read again."""
RECENT = LAST - DAY.seconds
"""A bucket that every incremental load reads again."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without anything in it."""
    return migrated(tmp_path_factory.mktemp("candles"))


@pytest.fixture(scope="module")
def stand_in() -> Iterator[Served]:
    """An exchange on a port."""
    with served() as made:
        yield made


@pytest.fixture
def bench(stand_in: Served, empty: Path, tmp_path: Path) -> Iterator[Rig]:
    """An exchange and a database."""
    with rig(stand_in, empty, tmp_path) as made:
        yield made


# What makes a candle unusable, and the reason that is given.
REFUSED = {
    "duplicate=different": "came more than once, with different values",
    "price=0": "is not above zero",
    "price=0,field=open": "is not above zero",
    "price=-5,field=low": "is not above zero",
    "price=-1,field=volume": "negative or too large",
    "price=0.000000001": "finer than 1e-8",
    "price=461168602,field=high": "the highest price whose averages are exact",
    "crossed": "lies above the high",
    "outside=open": "lies above the high",
    "outside=open,side=below": "lies below the low",
    "outside=close": "lies above the high",
    "outside=close,side=below": "lies below the low",
    "stamp=off-grid": "is not the start of a bucket of 1d",
    "stamp=ms": "looks like milliseconds, not unix seconds",
    "stamp=us": "looks like microseconds, not unix seconds",
    "value=1e400": "does not fit in 64 bits",
    "value=-1e400": "does not fit in 64 bits",
    "value=1e-400": "finer than 1e-8",
    'value="NaN"': "The close cannot be used: 'NaN' is not a decimal number",
    'value="Infinity"': "'Infinity' is not a decimal number",
    'value="353446.62 BRL"': "is not a decimal number",
    'value=""': "The close cannot be used",
    "value=null": "The close is missing",
    "value=true": "The close True is no number",
    "value=[1]": "The close (a list) is no number",
    "value={}": "The close (an object) is no number",
    f"value={'[' * 60}{']' * 60}": "The close (a list) is no number",
    "value=null,field=volume": "The volume is missing",
    "value=null,field=open": "The open is missing",
}

# The same where the candle's place in time cannot be told from what it is stamped.
WITHOUT_A_PLACE = {
    "stamp=future": "lies in the future",
    "stamp=ancient": "lies before 2011",
    "value=null,field=timestamp": "The stamp is missing",
    "value=true,field=timestamp": "The stamp True is no number",
    'value="2024-03-10",field=timestamp': "The stamp cannot be used",
    "value=1.5,field=timestamp": "no whole number of seconds",
    "value=1e400,field=timestamp": "The stamp cannot be used",
    "value=-1710028800,field=timestamp": "lies before 2011",
    f"value=1{'0' * 60},field=timestamp": "no time in unix seconds",
}


@cache
def without_bad() -> Rows:
    """What must be stored when BAD is not."""
    return by_hand([candle for candle in truth() if candle.bucket != BAD])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("spec", REFUSED)
def test_a_wrong_candle_is_refused_leaves_a_hole_and_comes_back_with_the_next_load(
    bench: Rig, spec: str, form: str
) -> None:
    bench.exchange.faults.add(f"{spec},candle={BAD}")
    source = bench.candles(form)
    report = bench.load(source)
    (refused,) = report.refused
    assert refused.bucket == BAD
    assert REFUSED[spec] in refused.reason
    assert refused.reason.endswith(".")
    assert bench.stored() == without_bad()
    assert bench.store.wrong_averages(BTC, DAY, FIRST, LAST) == []
    (kept,) = bench.store.quarantined(BTC, DAY, FIRST, LAST)
    assert (kept.bucket, kept.reason) == (BAD, refused.reason)
    # It is not said that the exchange has no such candle: so it is asked again.
    assert (report.absent, bench.store.absences(BTC, DAY, FIRST, LAST)) == (0, [])
    bench.exchange.faults.clear()
    assert bench.load(source).inserted == 1
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("spec", WITHOUT_A_PLACE)
def test_a_candle_whose_stamp_means_nothing_is_refused_without_a_bucket(
    bench: Rig, spec: str, form: str
) -> None:
    bench.exchange.faults.add(f"{spec},candle={BAD}")
    source = bench.candles(form)
    (refused,) = bench.load(source).refused
    assert refused.bucket is None
    assert WITHOUT_A_PLACE[spec] in refused.reason
    assert bench.stored() == without_bad()
    assert [kept.bucket for kept in bench.store.quarantined(BTC, DAY, FIRST, LAST)] == [None]
    bench.exchange.faults.clear()
    load(bench.store, source, bench.time.clock, BTC, DAY, [Span(BAD, BAD)])
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "spec",
    [
        "duplicate=equal,candle=all",
        "order=shuffled",
        "order=reversed",
        "running=first",
        "running=middle",
    ],
)
def test_order_and_repetition_do_not_matter(bench: Rig, spec: str, form: str) -> None:
    bench.exchange.faults.add(spec)
    report = bench.load(bench.candles(form))
    assert report.refused == ()
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_candle_is_noted_as_absent_and_not_as_refused(bench: Rig, form: str) -> None:
    bench.exchange.faults.add(f"missing,candle={BAD}")
    source = bench.candles(form)
    report = bench.load(source)
    assert (report.refused, report.absent) == ((), 1)
    assert [item.bucket for item in bench.store.absences(BTC, DAY, FIRST, LAST)] == [BAD]
    assert bench.stored() == without_bad()
    bench.exchange.faults.clear()
    load(bench.store, source, bench.time.clock, BTC, DAY, [Span(BAD, BAD)])
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("spec", ["stamp=ms", "stamp=us", "stamp=off-grid", "price=0", "crossed"])
def test_a_reply_of_nothing_but_wrong_candles_stores_nothing_and_claims_nothing(
    bench: Rig, spec: str, form: str
) -> None:
    bench.exchange.faults.add(f"{spec},candle=all")
    source = bench.candles(form)
    report = bench.load(source)
    assert {item.bucket for item in report.refused} == {candle.bucket for candle in truth()}
    assert bench.stored() == []
    assert bench.store.absences(BTC, DAY, FIRST, LAST) == []
    bench.exchange.faults.clear()
    bench.load(source)
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
def test_a_day_without_trades_may_have_no_volume(bench: Rig, form: str) -> None:
    bench.exchange.faults.add(f"price=0,field=volume,candle={BAD}")
    assert bench.load(bench.candles(form)).refused == ()
    quiet = [replace(c, volume=0) if c.bucket == BAD else c for c in truth()]
    assert bench.stored() == by_hand(quiet)


def test_a_field_that_the_last_legacy_candle_lacks_costs_that_candle_alone(bench: Rig) -> None:
    bench.exchange.faults.add("columns=close,times=1")
    report = bench.load(bench.candles("legacy"))
    (refused,) = report.refused
    assert (refused.bucket, refused.reason) == (LAST, "The close is missing.")
    # The incremental load right after it reads the last few candles again.
    assert bench.whole()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "spec", ["duplicate=different", "price=0", "crossed", "stamp=ms", "stamp=future", "missing"]
)
def test_a_wrong_candle_never_replaces_a_right_one(bench: Rig, spec: str, form: str) -> None:
    source = bench.candles(form)
    bench.load(source)
    before = bench.store.state(BTC, DAY).revision
    bench.exchange.faults.add(f"{spec},candle={RECENT}")
    report = bench.catch_up(source)
    assert (report.inserted, report.revised) == (0, 0)
    assert bench.whole()
    assert bench.store.state(BTC, DAY).revision == before


def reread(bench: Rig, form: str, buckets: int) -> LoadReport:
    """An incremental load that goes so many buckets back."""
    source, clock = bench.candles(form), bench.time.clock
    return load_incremental(
        bench.store, source, clock, BTC, DAY, history_days=SERVED, reread=buckets
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("factor", ["1.01", "0.5", "4"])
def test_a_revised_close_is_noticed_when_it_is_read_again(
    bench: Rig, form: str, factor: str
) -> None:
    bench.load(bench.candles(form))
    bench.exchange.faults.add(f"revise={factor},candle={BAD}")
    assert reread(bench, form, 3).revised == 0
    assert bench.whole()
    assert reread(bench, form, 30).revised == 1
    (revision,) = bench.store.revisions(BTC, DAY, 10)
    old, new = revision.old, revision.new
    assert old == next(candle for candle in truth() if candle.bucket == BAD)
    assert new.close == pytest.approx(old.close * float(factor), abs=1)
    assert (new.bucket, new.open, new.volume) == (old.bucket, old.open, old.volume)
    revised = [new if candle.bucket == BAD else candle for candle in truth()]
    assert bench.stored() == by_hand(revised)


@pytest.mark.parametrize("form", FORMATS)
def test_one_candle_at_another_scale_among_others_that_stayed_is_a_revision(
    bench: Rig, form: str
) -> None:
    bench.load(bench.candles(form))
    bench.exchange.faults.add(f"revise=/8,prices=all,candle={BAD}")
    assert reread(bench, form, 30).revised == 1
    (revision,) = bench.store.revisions(BTC, DAY, 10)
    for name in ("open", "high", "low", "close"):
        old, new = (getattr(item, name) for item in (revision.old, revision.new))
        assert new == pytest.approx(old / 8, abs=1)
    assert revision.new.volume == revision.old.volume


@pytest.mark.parametrize("form", FORMATS)
def test_wrong_candles_of_every_kind_in_one_reply_are_refused_one_by_one(
    bench: Rig, form: str
) -> None:
    # Stamps move a candle to another place, and what is nested deeply can be changed only once.
    wrong = [spec for spec in REFUSED if "stamp" not in spec and "[[" not in spec]
    one_a_day = {FIRST + number * 7 * DAY.seconds: spec for number, spec in enumerate(wrong)}
    bench.exchange.faults.add(*(f"{spec},candle={at}" for at, spec in one_a_day.items()))
    report = bench.load(bench.candles(form))
    assert [item.bucket for item in report.refused] == list(one_a_day)
    for item in report.refused:
        assert REFUSED[one_a_day[item.bucket or 0]] in item.reason
    assert bench.stored() == by_hand([c for c in truth() if c.bucket not in one_a_day])
