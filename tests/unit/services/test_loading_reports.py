"""What a load says it has done: to its caller, to who listens, and to who must look after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.core.market import Series
from app.domain.gaps import Span
from app.events.types import AveragesCalculated, CandleRevised, CandlesLoaded, Event
from app.services.loading import LoadReport, Plan, load
from app.testing.series import MemorySeriesStore
from tests.support.candles import BTC_DAILY, ETH_DAILY, FakeExchange, calm, candle, day

ALL = Span(day(0), day(299))


def run(
    store: MemorySeriesStore,
    exchange: FakeExchange,
    spans: Sequence[Span] = (ALL,),
    *,
    series: Series = BTC_DAILY,
    pages_a_commit: int = 20,
) -> tuple[LoadReport, list[Event]]:
    """One load: its report, and what it published."""
    heard: list[Event] = []
    report = load(
        Plan(series, gaps=tuple(spans)),
        store,
        exchange,
        lambda: exchange.now,
        publish=heard.append,
        pages_a_commit=pages_a_commit,
    )
    return report, heard


def revision(store: MemorySeriesStore, series: Series = BTC_DAILY) -> int:
    return store.state(series).revision


def test_a_first_load_reports_and_publishes_all_that_came() -> None:
    exchange = FakeExchange.of(calm(n for n in range(300) if n != 150), now=day(300))
    store = MemorySeriesStore()
    report, heard = run(store, exchange, series=ETH_DAILY)
    assert revision(store, ETH_DAILY) > 0
    assert report == LoadReport(
        ETH_DAILY,
        inserted=299,
        absent=1,
        averages=299,
        revision=revision(store, ETH_DAILY),
        newest=day(299),
    )
    assert heard == [
        CandlesLoaded(ETH_DAILY, 299, 0, day(299), report.revision),
        AveragesCalculated(ETH_DAILY, 299, report.revision),
    ]
    assert store.state(BTC_DAILY).last is None


def test_what_was_revised_and_what_is_new_are_told_apart() -> None:
    exchange = FakeExchange.of(calm(range(299)), now=day(300))
    store = MemorySeriesStore()
    before, _ = run(store, exchange)
    new = exchange.candles[day(299)] = candle(day(299), 10**10 + 299)
    old = [exchange.candles[day(number)] for number in (100, 298)]
    revised = [replace(item, close=item.close + 1) for item in old]
    exchange.candles |= {item.bucket: item for item in revised}
    report, heard = run(store, exchange)
    assert report.revision > before.revision
    assert report == LoadReport(
        BTC_DAILY,
        inserted=1,
        revised=2,
        unchanged=297,
        averages=200,
        revision=revision(store),
        newest=new.bucket,
        revisions=tuple(zip(old, revised, strict=True)),
    )
    assert heard == [
        CandlesLoaded(BTC_DAILY, 1, 2, day(299), report.revision),
        AveragesCalculated(BTC_DAILY, 200, report.revision),
        *(
            CandleRevised(BTC_DAILY, a.bucket, a.close, b.close, report.revision)
            for a, b in zip(old, revised, strict=True)
        ),
    ]


def test_a_single_bucket_that_the_exchange_lacks_is_absent() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    store = MemorySeriesStore()
    run(store, exchange, [Span(day(0), day(9))])
    del exchange.candles[day(20)]
    report, _ = run(store, exchange, [Span(day(20), day(20))])
    assert report.absent == 1
    assert [item.bucket for item in store.absences(BTC_DAILY, 0, day(999))] == [day(20)]
    # One that is stored already is compared with what is stored.
    report, heard = run(store, exchange, [Span(day(5), day(5))])
    assert (report.unchanged, report.inserted, heard) == (1, 0, [])
