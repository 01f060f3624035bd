"""What a load says it has done: to its caller, to who listens, and to who must look after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.core.market import Candle, Pair
from app.db.memory import MemorySeriesStore
from app.events.types import AveragesCalculated, CandleRevised, CandlesLoaded, Event
from app.services.loading import LoadReport, load
from app.utils.gaps import Span
from tests.support.candles import BTC, DAY, ETH, FakeExchange, candle, day

ALL = Span(day(0), day(299))


def calm(numbers: Iterable[int]) -> list[Candle]:
    """Candles whose prices hardly move."""
    return [candle(day(number), 10**10 + number) for number in numbers]


def run(
    store: MemorySeriesStore,
    exchange: FakeExchange,
    spans: Sequence[Span] = (ALL,),
    *,
    pair: Pair = BTC,
    pages_a_commit: int = 20,
) -> tuple[LoadReport, list[Event]]:
    """One load: its report, and what it published."""
    heard: list[Event] = []
    report = load(
        store,
        exchange,
        lambda: exchange.now,
        pair,
        DAY,
        spans,
        publish=heard.append,
        pages_a_commit=pages_a_commit,
    )
    return report, heard


def revision(store: MemorySeriesStore, pair: Pair = BTC) -> int:
    return store.state(pair, DAY).revision


def test_a_first_load_reports_and_publishes_all_that_came() -> None:
    exchange = FakeExchange.of(calm(n for n in range(300) if n != 150), now=day(300))
    store = MemorySeriesStore()
    report, heard = run(store, exchange, pair=ETH)
    assert revision(store, ETH) > 0
    assert report == LoadReport(
        ETH,
        DAY,
        inserted=299,
        absent=1,
        averages=299,
        revision=revision(store, ETH),
        newest=day(299),
    )
    assert heard == [
        CandlesLoaded(ETH, DAY, 299, 0, day(299), report.revision),
        AveragesCalculated(ETH, DAY, 299, report.revision),
    ]
    assert store.state(BTC, DAY).last is None


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
        BTC,
        DAY,
        inserted=1,
        revised=2,
        unchanged=297,
        averages=200,
        revision=revision(store),
        newest=new.bucket,
        revisions=tuple(zip(old, revised, strict=True)),
    )
    assert heard == [
        CandlesLoaded(BTC, DAY, 1, 2, day(299), report.revision),
        AveragesCalculated(BTC, DAY, 200, report.revision),
        *(
            CandleRevised(BTC, DAY, a.bucket, a.close, b.close, report.revision)
            for a, b in zip(old, revised, strict=True)
        ),
    ]


def test_a_revision_alone_is_a_load_and_one_of_the_volume_changes_no_average() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    store = MemorySeriesStore()
    before, _ = run(store, exchange)
    old = exchange.candles[day(290)]
    exchange.candles[day(290)] = replace(old, volume=old.volume + 1)
    report, heard = run(store, exchange)
    assert (report.revised, report.averages, report.newest) == (1, 0, day(299))
    assert report.revision > before.revision
    assert heard == [
        CandlesLoaded(BTC, DAY, 0, 1, day(299), report.revision),
        CandleRevised(BTC, DAY, day(290), old.close, old.close, report.revision),
    ]


def test_a_load_in_many_commits_reports_their_sum_and_publishes_each() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300), page_size=100)
    store = MemorySeriesStore()
    run(store, exchange)
    for number in (50, 150, 250):
        old = exchange.candles[day(number)]
        exchange.candles[day(number)] = replace(old, close=old.close + 1)
    report, heard = run(store, exchange, pages_a_commit=2)
    # Three are asked for again with the second commit.
    assert (report.revised, report.unchanged) == (3, 297 + 3)
    assert [old.bucket for old, _ in report.revisions] == [day(50), day(150), day(250)]
    loads = [event for event in heard if isinstance(event, CandlesLoaded)]
    assert [(event.revised, event.newest) for event in loads] == [(2, day(299)), (1, day(299))]
    assert loads[0].revision < loads[1].revision == report.revision == revision(store)


def test_nothing_to_ask_for_is_a_report_of_nothing() -> None:
    exchange = FakeExchange.of([], now=day(300))
    assert run(MemorySeriesStore(), exchange, []) == (LoadReport(BTC, DAY), [])
    assert exchange.asked == []


def test_a_single_bucket_that_the_exchange_lacks_is_absent() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    store = MemorySeriesStore()
    run(store, exchange, [Span(day(0), day(9))])
    del exchange.candles[day(20)]
    report, _ = run(store, exchange, [Span(day(20), day(20))])
    assert report.absent == 1
    assert [item.bucket for item in store.absences(BTC, DAY, 0, day(999))] == [day(20)]
    # One that is stored already is compared with what is stored.
    report, heard = run(store, exchange, [Span(day(5), day(5))])
    assert (report.unchanged, report.inserted, heard) == (1, 0, [])
