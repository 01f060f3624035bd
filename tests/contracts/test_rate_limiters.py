"""One contract for every rate limiter, and what only a shared one can promise."""

from __future__ import annotations

import threading
import time as real
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from app.core.errors import BudgetSpent, OutOfTurn, StoreUnusable, UpstreamUnavailable
from app.core.market import DAY
from app.core.ports import RateLimiter
from app.db import schema
from app.db.database import open_engine
from app.db.session import transaction
from app.db.stores.rate_limiter import LONGEST_CLOSURE, SharedRateLimiter
from app.domain.call_budget import CallBudget
from app.sources.local_rate_limiter import LocalRateLimiter
from tests.unit.sources.upstream_fakes import FakeTime

ALONE = {"workshop": ["process", "sqlite"], "shared": ["sqlite"]}
SERVICES = {"workshop": ["postgres"], "shared": ["postgres"]}

START = 1_000.0


@dataclass
class Workshop:
    """Makes rate limiters of one kind; those with one `host` share it."""

    time: FakeTime
    engine: Engine | None = None
    numbers: Iterator[int] = field(default_factory=count)

    def limiter(
        self,
        rate: float = 1.0,
        host: str | None = None,
        sleep: Callable[[float], None] | None = None,
        call_budget: CallBudget | None = None,
    ) -> RateLimiter:
        name = host or f"exchange-{next(self.numbers)}.example"
        now, sleeping = self.time.monotonic, sleep or self.time.sleep
        if self.engine is None:
            return LocalRateLimiter(name, rate, monotonic=now, sleep=sleeping)
        return SharedRateLimiter(
            self.engine,
            name,
            rate,
            call_budget=call_budget,
            clock=now,
            monotonic=now,
            sleep=sleeping,
        )

    def counted(self) -> tuple[int, int]:
        """The month of h.example, and its calls."""
        assert self.engine is not None
        with self.engine.connect() as connection:
            month, calls = connection.execute(
                text("SELECT month, calls FROM gates WHERE host = 'h.example'")
            ).one()
        return month, calls


@pytest.fixture
def workshop(request: pytest.FixtureRequest) -> Iterator[Workshop]:
    """Rate limiters of each kind, on a clock that only sleeping moves."""
    if request.param == "process":
        yield Workshop(FakeTime())
    else:
        yield from migrated(request, request.param)


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Iterator[Workshop]:
    """Rate limiters of each kind that processes share."""
    yield from migrated(request, request.param)


def migrated(request: pytest.FixtureRequest, kind: str) -> Iterator[Workshop]:
    engine = open_engine(request.getfixturevalue(f"{kind}_url"))
    schema.migrate(engine)
    yield Workshop(FakeTime(), engine)
    engine.dispose()


def test_the_first_request_goes_out_at_once_and_the_next_ones_a_period_apart(
    workshop: Workshop,
) -> None:
    limiter = workshop.limiter(rate=4.0)
    passed = []
    for _ in range(4):
        limiter.enter(10.0)
        passed.append(workshop.time.now - START)
    assert passed == [0.0, 0.25, 0.5, 0.75]


def test_a_sleep_that_lasts_too_long_does_not_bring_the_next_request_closer(
    workshop: Workshop,
) -> None:
    def oversleep(seconds: float) -> None:
        workshop.time.sleep(seconds + 0.4)

    limiter = workshop.limiter(sleep=oversleep)
    passed = []
    for _ in range(3):
        limiter.enter(10.0)
        passed.append(round(workshop.time.now - START, 6))
    assert passed == [0.0, 1.4, 2.8]


def test_a_wait_beyond_the_budget_is_refused_at_once_and_takes_no_turn(workshop: Workshop) -> None:
    limiter = workshop.limiter(rate=0.1, host="exchange.example")
    limiter.enter(0.0)
    for _ in range(3):
        with pytest.raises(UpstreamUnavailable, match=r"exchange\.example.*10\.0 s") as caught:
            limiter.enter(9.9)
        assert caught.value.retry_after == pytest.approx(10.0)
    assert workshop.time.slept == []
    limiter.enter(10.0)
    assert workshop.time.slept == [10.0]


def test_a_closed_gate_is_closed_and_a_shorter_closure_opens_nothing(workshop: Workshop) -> None:
    limiter = workshop.limiter()
    limiter.close_for(30.0)
    limiter.close_for(1.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        limiter.enter(29.0)
    assert caught.value.retry_after == 30.0
    limiter.enter(30.0)
    assert workshop.time.now == START + 30.0
    limiter.enter(1.0)
    assert workshop.time.now == START + 31.0


def test_a_request_that_is_kept_out_learns_whether_the_host_asked_for_it(
    workshop: Workshop,
) -> None:
    limiter = workshop.limiter(rate=0.1)
    limiter.enter(0.0)
    with pytest.raises(OutOfTurn, match="next free turn"):
        limiter.enter(5.0)
    limiter.close_for(4.0)  # sooner over than the spacing, so that is not what it has to wait for
    with pytest.raises(OutOfTurn):
        limiter.enter(5.0)
    limiter.close_for(30.0)
    with pytest.raises(UpstreamUnavailable, match="asked to be left alone") as caught:
        limiter.enter(5.0)
    assert type(caught.value) is UpstreamUnavailable


def test_an_interrupted_wait_leaves_nothing_behind(workshop: Workshop) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    limiter = workshop.limiter(sleep=interrupted)
    limiter.enter(0.0)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            limiter.enter(5.0)
    workshop.time.now += 1.0
    limiter.enter(0.0)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["enter", "close", "idle"]), st.floats(0, 5)), max_size=15
    ),
    rate=st.floats(0.2, 20),
)
def test_no_two_requests_are_closer_than_the_period_and_none_falls_into_a_closure(
    workshop: Workshop, steps: list[tuple[str, float]], rate: float
) -> None:
    time, limiter = workshop.time, workshop.limiter(rate)
    passed: list[float] = []
    closed_until = 0.0
    for what, amount in steps:
        if what == "enter":
            limiter.enter(1_000.0)
            assert time.now >= closed_until - 1e-5
            passed.append(time.now)
        elif what == "close":
            limiter.close_for(amount)
            closed_until = max(closed_until, time.now + amount)
        else:
            time.now += amount
    assert all(b - a >= 1 / rate - 1e-5 for a, b in pairwise(passed))


def test_two_processes_share_the_turns_and_the_closures_of_one_host(shared: Workshop) -> None:
    one, other = shared.limiter(host="h.example"), shared.limiter(host="h.example")
    elsewhere = shared.limiter(host="another.example")
    one.enter(0.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        other.enter(0.9)
    assert caught.value.retry_after == 1.0
    elsewhere.enter(0.0)
    other.enter(1.0)
    one.close_for(20.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        other.enter(19.9)
    assert caught.value.retry_after == 20.0
    other.enter(20.0)
    assert shared.time.slept == [1.0, 20.0]


def test_a_closure_and_a_quicker_process_reach_those_who_already_wait(shared: Workshop) -> None:
    other = shared.limiter(host="h.example")
    meanwhile: list[Callable[[], None]] = [
        lambda: other.enter(0.0),
        lambda: other.close_for(20.0),
        lambda: other.close_for(20.0),
    ]

    def sleep(seconds: float) -> None:
        shared.time.sleep(seconds)
        if meanwhile:
            meanwhile.pop(0)()

    one = shared.limiter(host="h.example", sleep=sleep)
    other.enter(0.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        one.enter(30.0)
    assert shared.time.slept == [1.0, 1.0, 20.0]
    assert caught.value.retry_after == 20.0


def test_a_closure_without_end_is_an_hour(shared: Workshop) -> None:
    limiter = shared.limiter()
    limiter.close_for(1e9)
    limiter.enter(LONGEST_CLOSURE)
    assert shared.time.now == START + LONGEST_CLOSURE


def test_a_clock_that_was_set_back_holds_nobody_up(shared: Workshop) -> None:
    shared.time.now += 10 * 3_600
    before = shared.limiter(host="h.example")
    before.enter(0.0)
    before.close_for(600.0)
    shared.time.now = START
    after = shared.limiter(host="h.example")
    after.enter(0.0)
    with pytest.raises(UpstreamUnavailable):
        after.enter(0.5)
    after.close_for(5.0)
    after.enter(5.0)


def test_every_turn_of_a_month_is_counted_whoever_takes_it_and_a_refused_one_is_not(
    shared: Workshop,
) -> None:
    one, other = shared.limiter(host="h.example"), shared.limiter(host="h.example")
    for limiter in (one, other, one):
        limiter.enter(1.0)
    with pytest.raises(OutOfTurn):
        other.enter(0.0)
    assert shared.counted() == (197001, 3)
    shared.time.now = 31 * DAY - 0.5
    one.enter(0.0)
    assert shared.counted() == (197001, 4)
    other.enter(1.0)  # waits into the next month
    assert shared.counted() == (197002, 1)
    shared.time.now = 5 * DAY  # a clock that was set back
    one.enter(0.0)
    assert shared.counted() == (197001, 1)


def test_requests_get_what_a_month_leaves_beside_the_collector_which_is_never_refused(
    shared: Workshop,
) -> None:
    shared.time.now = 30 * DAY
    budget = CallBudget(calls=28, poll_seconds=3_600)  # 24 until the month's end, and one more
    requests = [shared.limiter(host="h.example", call_budget=budget) for _ in range(2)]
    collector = shared.limiter(host="h.example")
    for limiter in (collector, *requests):
        limiter.enter(1.0)
    for limiter in requests:
        with pytest.raises(BudgetSpent, match=r"h\.example, 3 are spent and 25 are res") as caught:
            limiter.enter(1.0)
        assert caught.value.retry_after == DAY - 2
    collector.enter(1.0)
    shared.time.now += 3_600  # an hour less is needed, which the call above has used
    with pytest.raises(BudgetSpent):
        requests[0].enter(1.0)
    shared.time.now += 3_600  # and an hour in which nothing was collected
    requests[1].enter(1.0)
    assert shared.counted() == (197001, 5)
    shared.time.now = 31 * DAY
    with pytest.raises(BudgetSpent):  # 28 days need more than there is
        requests[0].enter(1.0)
    collector.enter(1.0)
    assert shared.counted() == (197002, 1)


@dataclass(frozen=True)
class Overtaken(CallBudget):
    """A budget under which another process takes a turn after this one has read the count."""

    other: list[Callable[[], None]] = field(default_factory=list)

    def for_requests(self, now: float) -> int:
        if self.other:
            self.other.pop()()
        return super().for_requests(now)


def test_of_two_processes_that_saw_the_last_call_one_gets_it(shared: Workshop) -> None:
    shared.time.now = 30 * DAY + 10
    last = CallBudget(calls=26, poll_seconds=3_600)

    def other() -> None:
        shared.limiter(host="h.example", call_budget=last).enter(0.0)
        shared.time.now += 1.0

    one = shared.limiter(host="h.example", call_budget=Overtaken(26, 3_600, [other]))
    with pytest.raises(BudgetSpent):
        one.enter(0.0)
    assert shared.counted() == (197001, 1)


def test_while_the_database_is_away_nobody_passes_and_the_error_is_the_databases(
    shared: Workshop,
) -> None:
    assert shared.engine is not None
    limiter = shared.limiter(host="h.example")
    with transaction(shared.engine) as connection:
        connection.execute(text("ALTER TABLE gates RENAME TO gone"))
    with pytest.raises(StoreUnusable):
        limiter.enter(60.0)
    with pytest.raises(StoreUnusable):
        limiter.close_for(30.0)
    with transaction(shared.engine) as connection:
        connection.execute(text("ALTER TABLE gone RENAME TO gates"))
    limiter.enter(0.0)
    assert shared.time.slept == []


def test_of_one_process_one_thread_at_a_time_competes_and_those_without_hope_are_told_at_once(
    shared: Workshop,
) -> None:
    """So a process that many ask does not crowd out one that asks once in a while."""
    asleep, go_on = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        asleep.set()
        assert go_on.wait(60.0)
        shared.time.sleep(seconds)

    limiter = shared.limiter(host="h.example", sleep=sleep)
    limiter.enter(0.0)
    first = threading.Thread(target=limiter.enter, args=(60.0,))
    first.start()
    assert asleep.wait(60.0)
    shared.time.now += 0.5
    # The next turn comes in half a second, but one stands before, and takes it for a whole one.
    with pytest.raises(OutOfTurn) as caught:
        limiter.enter(0.9)
    assert caught.value.retry_after == 1.0
    go_on.set()
    first.join(60.0)
    limiter.enter(60.0)
    assert shared.time.now == START + 2.5


def test_by_default_the_clock_is_the_databases_and_really_runs(shared: Workshop) -> None:
    assert shared.engine is not None
    limiter = SharedRateLimiter(shared.engine, "h.example", 50.0)
    started = real.monotonic()
    for _ in range(5):
        limiter.enter(60.0)
    assert real.monotonic() - started >= 0.079  # four periods
    limiter.close_for(300.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        limiter.enter(5.0)
    assert caught.value.retry_after is not None
    assert 200.0 < caught.value.retry_after <= 300.0
