"""What loading does with candles that are refused, revised, or suddenly of another scale."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.market import NOTES, WITHOUT_VOLUME, Absent, AverageRow, RefusedCandle, VolumeNote
from app.domain.gaps import Span
from app.events.types import AveragesCalculated, CandleRevised, Event
from app.services.gaps import Cause, inspect, is_stale, survey
from app.services.loading import Plan, load, mend_averages, plan_load
from app.testing.series import MemorySeriesStore
from tests.support.candles import BTC_DAILY, DAY, FakeExchange, calm, candle, daily, day
from tests.support.loads import incremental, initial


def loaded(exchange: FakeExchange) -> MemorySeriesStore:
    """A store after an initial load of 101 days."""
    store = MemorySeriesStore()
    initial(store, exchange, lambda: exchange.now, history_days=101)
    return store


def published(store: MemorySeriesStore, exchange: FakeExchange) -> list[Event]:
    """What an incremental load publishes."""
    heard: list[Event] = []
    incremental(store, exchange, lambda: exchange.now, history_days=101, publish=heard.append)
    return heard


def test_a_refused_candle_is_in_quarantine_and_the_cause_of_its_gap() -> None:
    exchange = FakeExchange.of(daily(n for n in range(300) if n != 250), now=day(300))
    exchange.refused = [RefusedCandle(day(250), "The close lies above the high.")]
    store = loaded(exchange)
    (kept,) = store.quarantined(BTC_DAILY, 0, day(300))
    assert (kept.bucket, kept.reason) == (day(250), "The close lies above the high.")
    found = inspect(store, BTC_DAILY, 101, exchange.now)
    assert [(gap.first, gap.cause) for gap in found.gaps] == [(day(250), Cause.REFUSED)]
    assert found.quarantined == 1
    exchange.refused = []
    exchange.candles[day(250)] = candle(day(250), 10**10)
    initial(store, exchange, lambda: exchange.now, history_days=101)
    assert inspect(store, BTC_DAILY, 101, exchange.now).complete()
    assert len(store.quarantined(BTC_DAILY, 0, day(300))) == 1


@pytest.mark.parametrize("bucket", [day(309), None])
def test_refused_newest_candles_leave_a_series_as_stale_as_it_was(bucket: int | None) -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    store = loaded(exchange)
    exchange.now = day(310) + 7_200
    exchange.refused = [RefusedCandle(bucket, "The stamp lies in the future.")]
    for load_again in (incremental, initial):
        report = load_again(store, exchange, lambda: exchange.now, history_days=101)
        assert report.newer_refused == tuple(exchange.refused)
        assert store.state(BTC_DAILY).checked_at == day(300)
        assert is_stale(store.state(BTC_DAILY), DAY, exchange.now)
    exchange.refused = []
    report = incremental(store, exchange, lambda: exchange.now, history_days=101)
    assert report.newer_refused == ()
    assert not is_stale(store.state(BTC_DAILY), DAY, exchange.now)


@pytest.mark.parametrize("bucket", [day(298), None])
def test_a_refused_candle_beside_the_newest_one_that_came_leaves_the_series_current(
    bucket: int | None,
) -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    store = loaded(exchange)
    exchange.now = day(301)
    exchange.candles[day(300)] = candle(day(300), 10**10)
    exchange.candles.pop(day(298))
    exchange.refused = [RefusedCandle(bucket, "odd")]
    report = incremental(store, exchange, lambda: exchange.now, history_days=101)
    assert (report.newest, report.newer_refused) == (day(300), ())
    assert len(report.refused) == 1
    assert store.state(BTC_DAILY).checked_at == day(301)


def test_a_revision_keeps_the_old_values_and_is_published_with_its_revision() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    store = loaded(exchange)
    old = exchange.candles[day(298)]
    new = exchange.candles[day(298)] = candle(day(298), 10**10 + 4_242, volume=9)
    exchange.now += 60
    heard = published(store, exchange)
    (kept,) = store.revisions(BTC_DAILY, 10)
    assert (kept.old, kept.new, kept.noticed_at) == (old, new, day(300) + 60)
    assert kept.revision == store.state(BTC_DAILY).revision
    assert CandleRevised(BTC_DAILY, day(298), old.close, new.close, kept.revision) in heard
    assert published(store, exchange) == []
    assert len(store.revisions(BTC_DAILY, 10)) == 1


def test_a_candle_without_a_volume_is_used_and_its_note_is_no_refusal() -> None:
    exchange = FakeExchange.of(calm(range(301)), now=day(301))
    bare = {day(n): replace(exchange.candles[day(n)], volume=None) for n in (250, 299, 300)}
    exchange.candles |= bare
    store = MemorySeriesStore()
    report = initial(store, exchange, lambda: exchange.now, history_days=101)
    assert (report.refused, report.newer_refused, report.without_volume) == ((), (), 3)
    assert store.state(BTC_DAILY).checked_at == day(301)
    assert [c for c, _ in store.rows(BTC_DAILY, 0, day(999))[1] if c.bucket in bare] == list(
        bare.values()
    )
    notes = store.quarantined(BTC_DAILY, 0, day(999))
    assert [(note.bucket, note.used) for note in notes] == [(b, True) for b in reversed(bare)]
    assert {note.reason for note in notes} == {f"{WITHOUT_VOLUME} The volume is missing."}
    found = inspect(store, BTC_DAILY, 101, exchange.now)
    assert found.complete(strict=True)
    assert found.quarantined == 0
    assert published(store, exchange) == []


def test_a_note_about_a_candle_that_was_lost_is_no_reason_to_leave_the_gap() -> None:
    store = MemorySeriesStore()
    with store.begin(BTC_DAILY) as unit:
        unit.put_candles(calm(n for n in range(300) if n != 250))
        unit.quarantine([VolumeNote(day(250), f"{WITHOUT_VOLUME} It is missing.")], day(299))
        unit.finish(changed=True, now=day(300))
    (gap,) = inspect(store, BTC_DAILY, 101, day(300)).gaps
    assert gap.cause is Cause.NEVER_FETCHED
    plan = plan_load(store, BTC_DAILY, day(300), history_days=101)
    assert plan.gaps == (Span(day(250), day(250)),)


def test_a_volume_that_comes_later_is_a_revision_and_one_that_goes_is_kept() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    full = exchange.candles[day(299)]
    bare = exchange.candles[day(299)] = replace(full, volume=None)
    store = loaded(exchange)
    exchange.candles[day(299)] = full
    heard = published(store, exchange)
    (revision,) = store.revisions(BTC_DAILY, 10)
    assert (revision.old, revision.new) == (bare, full)
    assert not [event for event in heard if isinstance(event, AveragesCalculated)]
    exchange.candles[day(299)] = bare
    assert published(store, exchange) == []
    assert len(store.revisions(BTC_DAILY, 10)) == 1
    notes = store.quarantined(BTC_DAILY, day(299), day(299))
    assert {note.reason.partition(".")[0] + "." for note in notes} == set(NOTES)
    # Prices count even so.
    exchange.now += 60
    exchange.candles[day(299)] = replace(candle(day(299), 10**10 + 5_000), volume=None)
    published(store, exchange)
    assert store.revisions(BTC_DAILY, 1)[0].new == replace(
        exchange.candles[day(299)], volume=full.volume
    )


def test_averages_that_were_lost_are_mended_from_the_stored_closes() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    store = loaded(exchange)
    whole = store.rows(BTC_DAILY, 0, day(999))
    with store.begin(BTC_DAILY) as unit:
        unit.put_averages([AverageRow(day(280), (None, None, None))])
        unit.finish(changed=True, now=day(301))
    spoilt = store.state(BTC_DAILY)
    assert survey(store, BTC_DAILY, Span(day(0), day(999)))[1] == [day(280)]
    assert mend_averages(store, lambda: day(302), BTC_DAILY, [day(280)]) == 20
    assert store.rows(BTC_DAILY, 0, day(999))[1] == whole[1]
    mended = store.state(BTC_DAILY)
    assert mended.revision > spoilt.revision
    assert mended.checked_at == spoilt.checked_at
    assert mend_averages(store, lambda: day(303), BTC_DAILY, []) == 0
    assert store.state(BTC_DAILY) == mended


def test_averages_without_a_candle_go_and_are_counted_with_those_that_are_mended() -> None:
    store = loaded(FakeExchange.of(calm(range(300)), now=day(300)))
    whole = store.rows(BTC_DAILY, 0, day(999))
    with store.begin(BTC_DAILY) as unit:
        unit.put_averages([AverageRow(day(305), (1, None, None))])
        unit.finish(changed=True, now=day(301))
    assert mend_averages(store, lambda: day(302), BTC_DAILY, [day(280), day(305)]) == 20 + 1
    assert store.rows(BTC_DAILY, 0, day(999))[1] == whole[1]
    assert survey(store, BTC_DAILY, Span(day(0), day(999)))[1] == []


def test_a_page_that_ends_before_it_begins_brings_nothing() -> None:
    exchange = FakeExchange.of(calm(range(10)), now=day(5))
    store = MemorySeriesStore()
    report = load(
        Plan(BTC_DAILY, gaps=(Span(day(7), day(9)),)), store, exchange, lambda: exchange.now
    )
    assert (report.inserted, report.absent, report.newest) == (0, 0, None)
    assert store.state(BTC_DAILY).checked_at == day(5)


def test_a_refused_candle_without_a_place_makes_no_bucket_absent() -> None:
    exchange = FakeExchange.of(daily(n for n in range(300) if n != 250), now=day(300))
    exchange.refused = [RefusedCandle(None, "The stamp cannot be read.")]
    store = loaded(exchange)
    assert store.absences(BTC_DAILY, 0, day(300)) == []
    found = inspect(store, BTC_DAILY, 101, exchange.now)
    assert [gap.cause for gap in found.gaps] == [Cause.NEVER_FETCHED]


def test_an_absence_is_of_the_time_at_which_the_reply_came_whatever_our_own_clock_says() -> None:
    exchange = FakeExchange.of(daily(n for n in range(20) if n != 7), now=day(20))
    store = MemorySeriesStore()
    plan = Plan(BTC_DAILY, gaps=(Span(day(0), day(19)),))
    load(plan, store, exchange, lambda: exchange.now)
    load(plan, store, exchange, lambda: exchange.now + 25 * 3_600)
    assert store.absences(BTC_DAILY, 0, day(20)) == [Absent(day(7), day(20), day(20))]
