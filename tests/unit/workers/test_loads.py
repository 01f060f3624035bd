"""Loading side by side: who waits for whom, for how long, and what is left to do then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest

from app.domain.gaps import Span
from app.services.comparing import COMPARED
from app.services.loading import LoadReport, OnPage, Plan, load, plan_load
from app.testing.series import MemoryLeases
from app.workers.loads import Stopped, UntilStopped, load_all
from app.workers.outcomes import Outcome
from tests.support.api import FakeRuntime, settings
from tests.support.candles import BTC_DAILY, FakeExchange, daily, day
from tests.support.loads import incremental, initial
from tests.support.logs import log_as_before

LEASE = "load BRLBTC 1d"
DAYS = 101


@dataclass
class Stand:
    """An exchange of 300 days, a store, and leases that another process holds as a test says."""

    fake: FakeRuntime = field(default_factory=lambda: FakeRuntime(now=day(300)))
    leases: dict[str, tuple[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.exchange = FakeExchange.of(daily(range(300)), now=day(300))
        self.store = self.fake.store
        self.made = replace(
            self.fake.build(settings(history_days=DAYS)),
            leases=MemoryLeases("ours", self.leases, 120),
            clock=lambda: self.exchange.now,
        )

    def initial(self, patience: float = 30) -> Outcome:
        """What the initial loader does."""

        def work(plan: Plan, on_page: OnPage) -> LoadReport:
            return load(plan, self.store, self.exchange, self.made.clock, on_page=on_page)

        planner = partial(plan_load, history_days=DAYS, ask_absent_again=True)
        (end,) = load_all(self.made, [BTC_DAILY], planner, work, patience=patience)
        return end

    def another(self) -> None:
        """Another process takes the lease."""
        self.leases[LEASE] = ("host:42", self.exchange.now + 60)

    def after_a_while(self, *done: Callable[[], None]) -> threading.Timer:
        """Soon the other one has done this, and gives the lease back."""

        def end() -> None:
            for work in done:
                work()
            self.leases.pop(LEASE)

        timer = threading.Timer(0.05, end)
        timer.start()
        return timer

    def incremental(self) -> None:
        """What an incremental loader leaves whose history is one day."""
        self.exchange.now += 60
        incremental(self.store, self.exchange, self.made.clock, history_days=1)

    def initial_elsewhere(self, history_days: int = DAYS) -> None:
        """What another initial loader leaves."""
        initial(self.store, self.exchange, self.made.clock, history_days=history_days)

    def days(self) -> int:
        return len(self.store.buckets(BTC_DAILY, [(0, day(999))]))


@pytest.fixture
def stand() -> Iterator[Stand]:
    with log_as_before():
        made = Stand()
        yield made
        made.made.close()


def test_what_another_has_not_loaded_is_loaded_once_it_has_ended(stand: Stand) -> None:
    stand.another()
    timer = stand.after_a_while()
    end = stand.initial()
    timer.join()
    assert (end.problem, end.taken, stand.days()) == (None, False, 300)
    assert stand.leases == {}


def test_an_incremental_load_meanwhile_is_not_what_an_initial_one_was_asked_for(
    stand: Stand,
) -> None:
    with stand.store.begin(BTC_DAILY) as unit:
        unit.put_candles([stand.exchange.candles[day(299)]])
        unit.finish(changed=True, now=day(300))
    stand.another()
    timer = stand.after_a_while(stand.incremental)
    end = stand.initial()
    timer.join()
    assert (end.problem, end.taken, stand.days()) == (None, False, 300)


def test_what_another_has_loaded_meanwhile_is_not_asked_for_again(stand: Stand) -> None:
    stand.another()
    timer = stand.after_a_while(stand.initial_elsewhere)
    end = stand.initial()
    timer.join()
    assert (end.problem, end.taken) == (None, True)
    assert str(end.error) == "BRLBTC 1d: another loader has just loaded it"
    assert len(stand.exchange.asked) == 1


def test_what_another_has_loaded_in_part_leaves_the_rest_to_be_asked_for(stand: Stand) -> None:
    stand.another()
    timer = stand.after_a_while(lambda: stand.initial_elsewhere(50))
    end = stand.initial()
    timer.join()
    assert (end.problem, end.taken, stand.days()) == (None, False, 300)
    _, newest, older = stand.exchange.asked
    assert (newest.first, older) == (day(297), Span(day(0), day(50 + COMPARED)))


def test_once_all_is_there_nobody_waits_for_the_lease(stand: Stand) -> None:
    checked = stand.store.state(BTC_DAILY).checked_at
    stand.another()

    def loaded() -> None:
        stand.initial_elsewhere()
        stand.leases[LEASE] = ("host:42", stand.exchange.now + 60)

    timer = threading.Timer(0.05, loaded)
    timer.start()
    end = stand.initial()
    timer.join()
    assert end.taken
    assert stand.store.state(BTC_DAILY).checked_at != checked
    assert stand.leases[LEASE][0] == "host:42"


def test_who_waited_in_vain_says_so_and_has_failed(stand: Stand) -> None:
    stand.another()
    end = stand.initial(patience=0)
    assert not end.taken
    assert end.problem == (
        "another process has held the lease for more than 0 s, and the requested candles are not all "
        "stored yet: run this again when that process has ended"
    )
    assert (end.kind, stand.exchange.asked) == ("TakenByAnother", [])


def test_a_lease_that_is_lost_in_the_middle_is_waited_for_and_the_rest_is_loaded(
    stand: Stand,
) -> None:
    stand.exchange.page_size = 100
    page = stand.exchange.page
    timers: list[threading.Timer] = []

    def slowly(*asked: object) -> object:
        if len(stand.exchange.asked) == 1 and not timers:
            stand.exchange.now += 60
            stand.another()
            timers.append(stand.after_a_while())
        return page(*asked)  # type: ignore[arg-type] # passed on as it came

    stand.exchange.page = slowly  # type: ignore[method-assign, assignment] # one fake, one test
    end = stand.initial()
    timers[0].join()
    assert (end.problem, stand.days()) == (None, 300)


def test_after_a_stop_no_lease_is_taken_or_renewed(stand: Stand) -> None:
    leases = UntilStopped(stand.made.leases, threading.Event())
    assert leases.take(LEASE, stand.exchange.now) is None
    leases.stop()
    leases.release(LEASE)
    with pytest.raises(Stopped):
        leases.take(LEASE, stand.exchange.now)
    assert stand.leases == {}
