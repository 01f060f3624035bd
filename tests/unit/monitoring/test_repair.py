"""Repairing a series: what is asked for, what is mended, and what is said where it did not work."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from app.bootstrap import Runtime
from app.core.errors import (
    StoreUnavailable,
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from app.core.market import AverageRow, Candle
from app.db.memory import MemoryLeases
from app.events.bus import EventBus
from app.events.types import CandlesLoaded, Event
from app.monitoring.repair import repair
from app.services.gaps import Cause, Inspection, inspect
from app.services.loaders import load_initial
from app.utils.gaps import Span
from tests.support.api import FakeRuntime, settings
from tests.support.candles import BTC, DAY, FakeExchange, daily, day

DAYS = 101
ALL = daily(range(300))
LEASE = "load BRLBTC 1d"


@dataclass
class Stand:
    """A store that lacks days 250 and 251, and an exchange that has them again."""

    lacking: tuple[int, ...] = (250, 251)
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    heard: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        there = [item for number, item in enumerate(ALL) if number not in self.lacking]
        self.exchange = FakeExchange.of(there, now=day(300))
        fake = FakeRuntime(now=day(300), events=EventBus({Event: [self.heard.append]}))
        self.runtime: Runtime = replace(
            fake.build(settings(history_days=DAYS)),
            leases=MemoryLeases("ours", self.leases, 120),
            clock=lambda: self.exchange.now,
        )
        self.store = fake.store
        load_initial(self.store, self.exchange, self.runtime.clock, BTC, DAY, history_days=DAYS)
        self.exchange.asked.clear()

    def has(self, *numbers: int) -> None:
        """The exchange has these days, too."""
        self.exchange.candles |= {day(number): ALL[number] for number in numbers}

    def look(self) -> Inspection:
        return inspect(self.store, BTC, DAY, DAYS, self.exchange.now)

    def repair(self, *, strict: bool = False) -> tuple[Inspection, str]:
        return repair(self.runtime, self.exchange, self.look(), strict=strict)

    def causes(self, found: Inspection) -> list[tuple[int, Cause]]:
        return [(gap.first, gap.cause) for gap in found.gaps]


def test_a_series_without_a_fault_is_left_alone() -> None:
    stand = Stand(lacking=())
    before = stand.look()
    assert repair(stand.runtime, stand.exchange, before, strict=True) == (before, "")
    assert stand.exchange.asked == []


def test_what_is_missing_is_asked_for_with_its_neighbours_and_stored() -> None:
    stand = Stand(lacking=(250, 251, 280))
    stand.has(250, 251, 280)
    found, note = stand.repair()
    assert note == ""
    assert found == stand.look()
    assert found.complete(strict=True)
    assert stand.exchange.asked == [Span(day(248), day(281))]
    assert stand.leases == {}
    stand.runtime.events.close()
    assert [event.inserted for event in stand.heard if isinstance(event, CandlesLoaded)] == [3]


def test_what_the_exchange_still_lacks_stays_missing_without_a_note() -> None:
    stand = Stand()
    stand.has(251)
    found, note = stand.repair()
    assert note == ""
    assert stand.causes(found) == [(day(250), Cause.ABSENT)]


def test_a_confirmed_absence_is_asked_for_again_only_where_that_is_wanted() -> None:
    stand = Stand(lacking=(250, 280))
    with stand.store.begin(BTC, DAY) as unit:
        unit.note_absent([day(250)], day(302))
        unit.finish(changed=False, now=stand.exchange.now)
    stand.has(250, 280)
    found, _ = stand.repair()
    assert stand.causes(found) == [(day(250), Cause.CONFIRMED)]
    assert stand.exchange.asked == [Span(day(278), day(281))]
    assert stand.repair()[0].complete()
    assert len(stand.exchange.asked) == 1
    found, _ = stand.repair(strict=True)
    assert found.gaps == ()


def test_averages_that_vanished_are_mended_without_a_question() -> None:
    stand = Stand(lacking=())
    whole = stand.store.rows(BTC, DAY, 0, day(999))[1]
    with stand.store.begin(BTC, DAY) as unit:
        unit.put_averages([AverageRow(day(n), (None, None, None)) for n in (270, 271, 290)])
        unit.finish(changed=True, now=stand.exchange.now)
    assert stand.look().wrong_averages == (Span(day(270), day(271)), Span(day(290), day(290)))
    found, note = stand.repair()
    assert (found.wrong_averages, note) == ((), "")
    assert stand.store.rows(BTC, DAY, 0, day(999))[1] == whole
    assert stand.exchange.asked == []


@pytest.mark.parametrize("kind", [UpstreamUnavailable, UpstreamBlocked])
def test_an_exchange_that_gives_no_answer_is_the_cause_and_the_note(
    kind: type[UpstreamError],
) -> None:
    stand = Stand()
    stand.exchange.trouble = {0: kind("The exchange is away.", host="exchange")}
    found, note = stand.repair()
    assert note == "BRLBTC 1d not repaired: The exchange is away."
    assert stand.causes(found) == [(day(250), Cause.UNREACHABLE)]
    assert stand.leases == {}


def test_an_answer_that_cannot_be_used_is_a_note_and_no_other_cause() -> None:
    stand = Stand()
    stand.exchange.trouble = {0: UpstreamNonsense("No list of candles.", host="exchange")}
    found, note = stand.repair()
    assert note == "BRLBTC 1d not repaired: No list of candles."
    assert stand.causes(found) == [(day(250), Cause.ABSENT)]


def test_a_series_that_a_loader_is_at_is_left_to_it() -> None:
    stand = Stand()
    stand.leases[LEASE] = ("host:42", stand.exchange.now + 60)
    found, note = stand.repair()
    assert note == (f"BRLBTC 1d not repaired: {LEASE}: host:42 is at it already; left to that one")
    assert stand.causes(found) == [(day(250), Cause.ABSENT)]
    assert stand.exchange.asked == []


def test_a_lease_that_is_lost_between_two_pages_ends_the_repair() -> None:
    stand = Stand(lacking=(210, 290))
    stand.has(210, 290)
    stand.exchange.page_size = 5
    pages = stand.exchange.page

    def slowly(*asked: object) -> object:
        stand.exchange.now += 60
        if len(stand.exchange.asked) == 1:
            stand.leases[LEASE] = ("thief", stand.exchange.now + 90)
        return pages(*asked)  # type: ignore[arg-type]

    stand.exchange.page = slowly  # type: ignore[method-assign, assignment]
    found, note = stand.repair()
    assert "thief is at it already" in note
    assert [first for first, _ in stand.causes(found)] == [day(210), day(290)]
    assert stand.leases[LEASE][0] == "thief"


def test_trouble_of_the_database_is_not_swallowed() -> None:
    stand = Stand()

    class Broken(MemoryLeases):
        def take(self, name: str, now: float) -> str | None:
            raise StoreUnavailable("The database does not answer.")

    runtime = replace(stand.runtime, leases=Broken("ours", {}, 120))
    with pytest.raises(StoreUnavailable):
        repair(runtime, stand.exchange, stand.look(), strict=False)


def test_a_candle_that_came_with_the_repair_counts_at_once() -> None:
    stand = Stand()
    stand.has(250, 251)
    stand.exchange.candles[day(250)] = Candle(day(250), 10**9, 10**9, 10**9, 10**9, 0)
    found, _ = stand.repair()
    assert found.complete()
    (row,) = stand.store.rows(BTC, DAY, day(250), day(250))[1]
    assert row[0].close == 10**9
    assert None not in row[1].values
