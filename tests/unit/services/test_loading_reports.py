"""What a load says it has done: to its caller, to who listens, and to who must look after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from app.core.errors import PriceScaleChanged
from app.core.market import AverageRow, Candle, CandlePage, Interval, Pair
from app.db.memory import MemorySeriesStore
from app.events.types import AveragesCalculated, CandleRevised, CandlesLoaded, Event
from app.services.loading import LoadReport, average_rows, load
from app.utils.gaps import Span
from tests.support.candles import BTC, DAY, ETH, FakeExchange, candle, daily, day

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


def test_a_load_that_brings_nothing_new_says_so_and_keeps_the_revision() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    store = MemorySeriesStore()
    first, _ = run(store, exchange)
    again, heard = run(store, exchange)
    assert again == LoadReport(BTC, DAY, unchanged=300, revision=first.revision, newest=day(299))
    assert heard == []


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


def test_the_exchange_is_asked_for_the_series_that_is_loaded() -> None:
    class Recording(FakeExchange):
        """Records the series, too."""

        series: list[tuple[Pair, Interval]]

        def page(self, pair: Pair, interval: Interval, first: int, last: int) -> CandlePage:
            self.series.append((pair, interval))
            return super().page(pair, interval, first, last)

    exchange = Recording(day(300), page_size=100)
    exchange.series = []
    told: list[int] = []
    load(MemorySeriesStore(), exchange, lambda: day(300), ETH, DAY, [ALL], on_page=told.append)
    assert exchange.series == [(ETH, DAY)] * 4
    assert told == [100, 100, 100, 9]


def test_another_scale_tells_the_operator_what_to_do_and_the_quarantine_why() -> None:
    exchange = FakeExchange.of(calm(range(300)), now=day(300))
    store = MemorySeriesStore()
    run(store, exchange)
    exchange.candles = {
        item.bucket: Candle(
            item.bucket, item.open * 10, item.high * 10, item.low * 10, item.close * 10, 1
        )
        for item in calm(range(300))
    }
    with pytest.raises(PriceScaleChanged) as refused:
        run(store, exchange, [Span(day(298), day(299))])
    assert str(refused.value) == (
        "The candles of BRLBTC 1d came with prices multiplied by 10, against those that are stored or "
        "came just before: none of them is stored, they are in quarantine "
        "(GET /BRLBTC/quarantine?interval=1d). If the exchange really changed its scale, move the "
        "database away and load anew."
    )
    assert refused.value.host == "the exchange"
    reason = "This came with prices multiplied by 10: a change of scale."
    kept = store.quarantined(BTC, DAY, 0, day(999))
    assert {(item.bucket, item.reason) for item in kept} == {
        (day(298), reason),
        (day(299), reason),
    }


def test_buckets_and_closes_that_do_not_belong_together_are_a_mistake_and_not_cut() -> None:
    assert average_rows([60], [7], 60) == [AverageRow(60, (None, None, None))]
    with pytest.raises(ValueError, match="zip"):
        average_rows([60, 120], [7], 60)


@pytest.mark.parametrize("number", [0, 1, 199, 200, 299])
def test_candles_of_all_history_in_any_order_of_loads_have_one_newest(number: int) -> None:
    exchange = FakeExchange.of(daily(range(300)), now=day(300))
    store = MemorySeriesStore()
    bucket = day(number)
    late, _ = run(store, exchange, [Span(bucket, bucket)])
    assert late.newest == bucket
    whole, _ = run(store, exchange)
    assert whole.newest == day(299)
    again, _ = run(store, exchange, [Span(bucket, bucket)])
    assert again.newest == day(299)
