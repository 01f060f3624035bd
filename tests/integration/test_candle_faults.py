"""What becomes of single candles that are wrong, over real HTTP and into a database.

A candle is stored as a whole or not at all; the averages are those of what is stored; and once the
exchange sends the candle rightly, the next load puts it where it belongs. What is wrong with a candle is
the subject of tests/unit/utils/test_candles.py.
"""

from __future__ import annotations

from collections.abc import Iterator
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

REFUSED = {
    "crossed": "lies above the high",
    "value=0": "is not above zero",
    "value=-5,field=low": "is not above zero",
    "value=null": "The close is missing",
    "value=true": "The close True is no number",
    'value="NaN"': "is not a decimal number",
    "value=1e400": "does not fit in 64 bits",
    "value=1e-9": "finer than 1e-8",
    "value=[1]": "The close (a list) is no number",
}
"""What makes a candle unusable, and the reason that is given."""


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


def without(*buckets: int) -> Rows:
    """What must be stored when these are not."""
    return by_hand([candle for candle in truth() if candle.bucket not in buckets])


@pytest.mark.parametrize("form", FORMATS)
def test_wrong_candles_are_refused_one_by_one_leave_holes_and_come_back_with_the_next_load(
    bench: Rig, form: str
) -> None:
    wrong = {FIRST + n * 7 * DAY.seconds: spec for n, spec in enumerate(REFUSED)}
    bench.exchange.faults.add(*(f"{spec},candle={at}" for at, spec in wrong.items()))
    source = bench.candles(form)
    report = bench.load(source)
    assert [item.bucket for item in report.refused] == list(wrong)
    for item in report.refused:
        assert REFUSED[wrong[item.bucket or 0]] in item.reason
    assert bench.stored() == without(*wrong)
    assert bench.store.wrong_averages(BTC, DAY, FIRST, LAST) == []
    kept = bench.store.quarantined(BTC, DAY, FIRST, LAST)
    assert {(item.bucket, item.reason) for item in kept} == {
        (item.bucket, item.reason) for item in report.refused
    }
    # It is not said that the exchange has no such candles: so they are asked for again.
    assert (report.absent, bench.store.absences(BTC, DAY, FIRST, LAST)) == (0, [])
    bench.exchange.faults.clear()
    assert bench.load(source).inserted == len(wrong)
    assert bench.whole()


def test_a_candle_whose_stamp_means_nothing_is_refused_without_a_bucket(bench: Rig) -> None:
    bench.exchange.faults.add(f"value=null,field=timestamp,candle={BAD}")
    source = bench.candles("v4")
    (refused,) = bench.load(source).refused
    assert refused.bucket is None
    assert bench.stored() == without(BAD)
    assert [kept.bucket for kept in bench.store.quarantined(BTC, DAY, FIRST, LAST)] == [None]
    bench.exchange.faults.clear()
    load(bench.store, source, bench.time.clock, BTC, DAY, [Span(BAD, BAD)])
    assert bench.whole()


def test_a_missing_candle_is_noted_as_absent_and_not_as_refused(bench: Rig) -> None:
    bench.exchange.faults.add(f"missing,candle={BAD}")
    report = bench.load(bench.candles("v4"))
    assert (report.refused, report.absent) == ((), 1)
    assert [item.bucket for item in bench.store.absences(BTC, DAY, FIRST, LAST)] == [BAD]
    assert bench.stored() == without(BAD)


def test_a_reply_of_nothing_but_wrong_candles_stores_nothing_and_claims_nothing(
    bench: Rig,
) -> None:
    bench.exchange.faults.add("crossed,candle=all")
    source = bench.candles("v4")
    report = bench.load(source)
    assert {item.bucket for item in report.refused} == {candle.bucket for candle in truth()}
    assert bench.stored() == []
    assert bench.store.absences(BTC, DAY, FIRST, LAST) == []
    bench.exchange.faults.clear()
    bench.load(source)
    assert bench.whole()


@pytest.mark.parametrize("spec", ["crossed", "missing"])
def test_a_wrong_candle_never_replaces_a_right_one(bench: Rig, spec: str) -> None:
    source = bench.candles("v4")
    bench.load(source)
    before = bench.store.state(BTC, DAY).revision
    bench.exchange.faults.add(f"{spec},candle={LAST - DAY.seconds}")  # which is read again
    report = bench.catch_up(source)
    assert (report.inserted, report.revised) == (0, 0)
    assert bench.whole()
    assert bench.store.state(BTC, DAY).revision == before


def test_a_revised_close_is_noticed_when_it_is_read_again_and_corrects_its_averages(
    bench: Rig,
) -> None:
    source = bench.candles("v4")

    def reread(buckets: int) -> LoadReport:
        clock = bench.time.clock
        return load_incremental(
            bench.store, source, clock, BTC, DAY, history_days=SERVED, reread=buckets
        )

    bench.load(source)
    bench.exchange.faults.add(f"revise=0.5,candle={BAD}")
    assert reread(3).revised == 0
    assert bench.whole()
    assert reread(30).revised == 1
    (revision,) = bench.store.revisions(BTC, DAY, 10)
    old, new = revision.old, revision.new
    assert old == next(candle for candle in truth() if candle.bucket == BAD)
    assert new.close == pytest.approx(old.close / 2, abs=1)
    assert (new.bucket, new.open, new.volume) == (old.bucket, old.open, old.volume)
    assert bench.stored() == by_hand([new if c.bucket == BAD else c for c in truth()])
