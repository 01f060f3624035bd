"""Repairing a series: what is asked for, what is mended, and what is said where it did not work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import pytest

from app.bootstrap import Runtime
from app.core.errors import (
    MmsError,
    TakenByAnother,
    UnrepresentablePrice,
    UpstreamBlocked,
    UpstreamError,
    UpstreamNonsense,
    UpstreamUnavailable,
)
from app.core.market import AverageRow, Candle, RefusedCandle
from app.domain.gaps import Span
from app.events.bus import EventBus
from app.events.types import CandlesLoaded, Event
from app.monitoring.repair import repair
from app.services.gaps import Cause, Inspection, inspect
from app.testing.series import MemoryLeases
from tests.support.api import FakeRuntime, settings
from tests.support.candles import BTC_DAILY, FakeExchange, daily, day
from tests.support.loads import incremental, initial

DAYS = 101
ALL = daily(range(300))
LEASE = "load BRLBTC 1d"
OPEN: list[EventBus] = []
"""The buses that a test has made."""


@pytest.fixture(autouse=True)
def _no_dispatcher_is_left() -> Iterator[None]:
    """Close them at its end: other tests count threads."""
    yield
    while OPEN:
        OPEN.pop().close()


class Repaired(NamedTuple):
    """What is found after a repair, and why it did not work."""

    found: Inspection
    trouble: MmsError | None = None


@dataclass
class Stand:
    """A store that lacks days 250 and 251, and an exchange that has them again.

    `refused` is why they were refused; empty where the exchange lacked them.
    """

    lacking: tuple[int, ...] = (250, 251)
    refused: str = ""
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)
    heard: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        there = [item for number, item in enumerate(ALL) if number not in self.lacking]
        self.exchange = FakeExchange.of(there, now=day(300))
        if self.refused:
            self.exchange.refused = [RefusedCandle(day(n), self.refused) for n in self.lacking]
        OPEN.append(EventBus({CandlesLoaded: [self.heard.append]}))
        fake = FakeRuntime(now=day(300), events=OPEN[-1])
        self.runtime: Runtime = replace(
            fake.build(settings(history_days=DAYS)),
            leases=MemoryLeases("ours", self.leases, 120),
            clock=lambda: self.exchange.now,
        )
        self.store = fake.store
        initial(self.store, self.exchange, self.runtime.clock, history_days=DAYS)
        self.exchange.asked.clear()

    def has(self, *numbers: int) -> None:
        """The exchange has these days, too."""
        self.exchange.candles |= {day(number): ALL[number] for number in numbers}

    def look(self) -> Inspection:
        return inspect(self.store, BTC_DAILY, DAYS, self.exchange.now)

    def repair(self, *, strict: bool = False, away: UpstreamError | None = None) -> Repaired:
        return Repaired(*repair(self.runtime, self.exchange, self.look(), strict=strict, away=away))

    def told(self) -> list[Event]:
        """All events, once they are delivered."""
        self.runtime.events.close()
        return self.heard

    def spoil(self, *numbers: int) -> None:
        """These days lose their averages."""
        with self.store.begin(BTC_DAILY) as unit:
            unit.put_averages([AverageRow(day(n), (None, None, None)) for n in numbers])
            unit.finish(changed=True, now=self.exchange.now)

    def causes(self, found: Inspection) -> list[tuple[int, Cause]]:
        return [(gap.first, gap.cause) for gap in found.gaps]


def test_a_series_without_a_fault_is_left_alone() -> None:
    stand = Stand(lacking=())
    before = stand.look()
    assert repair(stand.runtime, stand.exchange, before, strict=True) == Repaired(before)
    assert stand.exchange.asked == []


def test_what_is_missing_is_asked_for_with_its_neighbours_and_stored() -> None:
    stand = Stand(lacking=(250, 251, 280))
    stand.has(250, 251, 280)
    done = stand.repair()
    assert done == Repaired(stand.look())
    assert done.found.complete(strict=True)
    assert stand.exchange.asked == [Span(day(248), day(281))]
    assert stand.leases == {}
    assert [event.inserted for event in stand.told() if isinstance(event, CandlesLoaded)] == [3]


def test_candles_that_an_earlier_version_refused_for_their_volume_come_with_the_repair() -> None:
    stand = Stand(refused="The volume is missing.")
    stand.exchange.refused = []
    stand.exchange.candles |= {day(n): replace(ALL[n], volume=None) for n in (250, 251)}
    incremental(stand.store, stand.exchange, stand.runtime.clock, history_days=DAYS)
    assert stand.causes(stand.look()) == [(day(250), Cause.REFUSED)]
    assert stand.repair().found.complete(strict=True)


def test_a_confirmed_absence_is_asked_for_again_only_where_that_is_wanted() -> None:
    stand = Stand(lacking=(250, 280))
    with stand.store.begin(BTC_DAILY) as unit:
        unit.note_absent([day(250)], day(302))
        unit.finish(changed=False, now=stand.exchange.now)
    stand.has(250, 280)
    found = stand.repair().found
    assert stand.causes(found) == [(day(250), Cause.CONFIRMED)]
    assert stand.exchange.asked == [Span(day(278), day(281))]
    assert stand.repair().found.complete()
    assert len(stand.exchange.asked) == 1
    assert stand.repair(strict=True).found.gaps == ()


def test_averages_that_vanished_are_mended_without_a_question() -> None:
    stand = Stand(lacking=())
    whole = stand.store.rows(BTC_DAILY, 0, day(999))[1]
    stand.spoil(270, 271, 290)
    assert stand.look().wrong_averages == (Span(day(270), day(271)), Span(day(290), day(290)))
    assert stand.repair() == Repaired(stand.look())
    assert stand.look().wrong_averages == ()
    assert stand.store.rows(BTC_DAILY, 0, day(999))[1] == whole
    assert stand.exchange.asked == []


@pytest.mark.parametrize("kind", [UpstreamUnavailable, UpstreamBlocked])
def test_an_exchange_that_gives_no_answer_is_the_cause_and_the_trouble(
    kind: type[UpstreamError],
) -> None:
    stand = Stand()
    error = kind("The exchange is away.", host="exchange")
    stand.exchange.trouble = {0: error}
    done = stand.repair()
    assert done.trouble is error
    assert stand.causes(done.found) == [(day(250), Cause.UNREACHABLE)]
    assert stand.leases == {}


@pytest.mark.parametrize("asked", [True, False])
def test_averages_are_mended_while_the_exchange_is_away(asked: bool) -> None:
    stand = Stand()
    stand.spoil(275)
    assert stand.look().wrong_averages == (Span(day(275), day(275)),)
    error = UpstreamUnavailable("The exchange is away.", host="exchange")
    stand.exchange.trouble = {0: error}
    done = stand.repair(away=None if asked else error)
    assert (done.trouble, done.found.wrong_averages) == (error, ())
    assert len(stand.exchange.asked) == asked


def test_an_answer_that_cannot_be_used_is_trouble_and_no_other_cause() -> None:
    stand = Stand()
    stand.exchange.trouble = {0: UpstreamNonsense("No list of candles.", host="exchange")}
    done = stand.repair()
    assert str(done.trouble) == "No list of candles."
    assert stand.causes(done.found) == [(day(250), Cause.ABSENT)]


def test_closes_that_cannot_be_averaged_are_trouble_and_leave_the_rest_as_it_is() -> None:
    stand = Stand(lacking=())
    with stand.store.begin(BTC_DAILY) as unit:
        unit.put_candles([Candle(day(290), 2**62, 2**62, 2**62, 2**62, 0)])
        unit.finish(changed=True, now=stand.exchange.now)
    stand.spoil(295)
    done = stand.repair()
    assert isinstance(done.trouble, UnrepresentablePrice)
    assert done.found == stand.look()
    assert done.found.wrong_averages == (Span(day(295), day(295)),)


def test_a_series_that_a_loader_is_at_is_left_to_it() -> None:
    stand = Stand()
    stand.spoil(275)
    assert stand.look().wrong_averages == (Span(day(275), day(275)),)
    stand.leases[LEASE] = ("host:42", stand.exchange.now + 60)
    done = stand.repair()
    assert isinstance(done.trouble, TakenByAnother)
    assert str(done.trouble) == f"{LEASE}: host:42 already holds the lease; left to that process"
    assert stand.causes(done.found) == [(day(250), Cause.ABSENT)]
    assert done.found.wrong_averages == (Span(day(275), day(275)),)
    assert (stand.exchange.asked, stand.told()) == ([], [])


def test_a_lease_that_is_lost_between_two_pages_ends_the_repair() -> None:
    stand = Stand(lacking=(210, 290))
    stand.has(210, 290)
    stand.exchange.page_size = 5
    pages = stand.exchange.page

    def slowly(*asked: object) -> object:
        stand.exchange.now += 60
        if len(stand.exchange.asked) == 1:
            stand.leases[LEASE] = ("thief", stand.exchange.now + 90)
        return pages(*asked)  # type: ignore[arg-type] # passed on as it came

    stand.exchange.page = slowly  # type: ignore[method-assign, assignment] # one fake, one test
    done = stand.repair()
    assert "thief already holds the lease" in str(done.trouble)
    assert [first for first, _ in stand.causes(done.found)] == [day(210), day(290)]
    assert stand.leases[LEASE][0] == "thief"
