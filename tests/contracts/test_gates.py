"""One contract for every gate in front of a host, and what only a shared one can promise."""

from __future__ import annotations

import threading
import time as real
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, pairwise

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from app.core.errors import OutOfTurn, StoreUnavailable, StoreUnusable, UpstreamUnavailable
from app.core.ports import Gate
from app.db import schema
from app.db.gate import LONGEST_CLOSURE, DatabaseGate
from app.db.session import open_engine, transaction
from app.sources.gate import HostGate
from tests.unit.sources.upstream_fakes import FakeTime, OpenGate

Make = Callable[..., Gate]
START = 1_000.0


@dataclass
class Workshop:
    """Makes gates of one kind; those with one `host` are in front of the same one."""

    time: FakeTime
    engine: Engine | None = None
    numbers: Iterator[int] = field(default_factory=count)

    def strict(self, host: str) -> Gate:
        """A gate in the database that has no other to fall back on."""
        assert self.engine is not None
        monotonic, sleep = self.time.monotonic, self.time.sleep
        return DatabaseGate(
            self.engine, host, 1.0, clock=monotonic, monotonic=monotonic, sleep=sleep
        )

    def gate(
        self,
        rate: float = 1.0,
        host: str | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> Gate:
        name = host or f"exchange-{next(self.numbers)}.example"
        sleeping = sleep or self.time.sleep
        local = HostGate(name, rate, monotonic=self.time.monotonic, sleep=sleeping)
        if self.engine is None:
            return local
        return DatabaseGate(
            self.engine,
            name,
            rate,
            fallback=local,
            clock=self.time.monotonic,
            monotonic=self.time.monotonic,
            sleep=sleeping,
        )


@pytest.fixture(params=["process", "sqlite", "postgres"])
def workshop(request: pytest.FixtureRequest) -> Iterator[Workshop]:
    """Gates of each kind, on a clock that only sleeping moves."""
    if request.param == "process":
        yield Workshop(FakeTime())
    else:
        yield from migrated(request, request.param)


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest) -> Iterator[Workshop]:
    """Gates of each kind that processes share."""
    yield from migrated(request, request.param)


def migrated(request: pytest.FixtureRequest, kind: str) -> Iterator[Workshop]:
    if kind == "sqlite":
        server, url = None, request.getfixturevalue("sqlite_url")
    else:
        server = request.getfixturevalue("postgres_server")
        url = server.create()
    engine = open_engine(url)
    schema.migrate(engine)
    yield Workshop(FakeTime(), engine)
    engine.dispose()
    if server is not None:
        server.drop(url)


def test_the_first_request_goes_out_at_once_and_the_next_ones_a_period_apart(
    workshop: Workshop,
) -> None:
    gate = workshop.gate(rate=4.0)
    passed = []
    for _ in range(4):
        gate.enter(10.0)
        passed.append(workshop.time.now - START)
    assert passed == [0.0, 0.25, 0.5, 0.75]


def test_a_pause_between_requests_is_not_saved_up_for_a_burst(workshop: Workshop) -> None:
    gate = workshop.gate()
    gate.enter(0.0)
    workshop.time.now += 60.0
    gate.enter(0.0)
    gate.enter(1.0)
    assert workshop.time.slept == [1.0]


def test_a_sleep_that_lasts_too_long_does_not_bring_the_next_request_closer(
    workshop: Workshop,
) -> None:
    def oversleep(seconds: float) -> None:
        workshop.time.sleep(seconds + 0.4)

    gate = workshop.gate(sleep=oversleep)
    passed = []
    for _ in range(3):
        gate.enter(10.0)
        passed.append(round(workshop.time.now - START, 6))
    assert passed == [0.0, 1.4, 2.8]


def test_a_wait_beyond_the_budget_is_refused_at_once_and_takes_no_turn(workshop: Workshop) -> None:
    gate = workshop.gate(rate=0.1, host="exchange.example")
    gate.enter(0.0)
    for _ in range(3):
        with pytest.raises(UpstreamUnavailable, match=r"exchange\.example.*10\.0 s") as caught:
            gate.enter(9.9)
        assert caught.value.retry_after == pytest.approx(10.0)
    assert workshop.time.slept == []
    gate.enter(10.0)
    assert workshop.time.slept == [10.0]


def test_a_closed_gate_is_closed_and_a_shorter_closure_opens_nothing(workshop: Workshop) -> None:
    gate = workshop.gate()
    gate.close_for(30.0)
    gate.close_for(1.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        gate.enter(29.0)
    assert caught.value.retry_after == 30.0
    gate.enter(30.0)
    assert workshop.time.now == START + 30.0
    gate.enter(1.0)
    assert workshop.time.now == START + 31.0


def test_a_request_that_is_kept_out_learns_whether_the_host_asked_for_it(
    workshop: Workshop,
) -> None:
    gate = workshop.gate(rate=0.1)
    gate.enter(0.0)
    with pytest.raises(OutOfTurn, match="next free turn"):
        gate.enter(5.0)
    gate.close_for(4.0)  # sooner over than the spacing, so that is not what it has to wait for
    with pytest.raises(OutOfTurn):
        gate.enter(5.0)
    gate.close_for(30.0)
    with pytest.raises(UpstreamUnavailable, match="asked to be left alone") as caught:
        gate.enter(5.0)
    assert type(caught.value) is UpstreamUnavailable


def test_an_interrupted_wait_leaves_nothing_behind(workshop: Workshop) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    gate = workshop.gate(sleep=interrupted)
    gate.enter(0.0)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            gate.enter(5.0)
    workshop.time.now += 1.0
    gate.enter(0.0)


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
    time, gate = workshop.time, workshop.gate(rate)
    passed: list[float] = []
    closed_until = 0.0
    for what, amount in steps:
        if what == "enter":
            gate.enter(1_000.0)
            assert time.now >= closed_until - 1e-5
            passed.append(time.now)
        elif what == "close":
            gate.close_for(amount)
            closed_until = max(closed_until, time.now + amount)
        else:
            time.now += amount
    assert all(b - a >= 1 / rate - 1e-5 for a, b in pairwise(passed))


def test_two_processes_share_the_turns_and_the_closures_of_one_host(shared: Workshop) -> None:
    one, other = shared.gate(host="h.example"), shared.gate(host="h.example")
    elsewhere = shared.gate(host="another.example")
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
    other = shared.gate(host="h.example")
    meanwhile: list[Callable[[], None]] = [
        lambda: other.enter(0.0),
        lambda: other.close_for(20.0),
        lambda: other.close_for(20.0),
    ]

    def sleep(seconds: float) -> None:
        shared.time.sleep(seconds)
        if meanwhile:
            meanwhile.pop(0)()

    one = shared.gate(host="h.example", sleep=sleep)
    other.enter(0.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        one.enter(30.0)
    assert shared.time.slept == [1.0, 1.0, 20.0]
    assert caught.value.retry_after == 20.0


def test_what_is_stored_outlives_the_process(shared: Workshop) -> None:
    shared.gate(host="h.example").close_for(30.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        shared.gate(host="h.example").enter(1.0)
    assert caught.value.retry_after == 30.0


def test_a_closure_without_end_is_an_hour(shared: Workshop) -> None:
    gate = shared.gate()
    gate.close_for(1e9)
    gate.enter(LONGEST_CLOSURE)
    assert shared.time.now == START + LONGEST_CLOSURE


def test_a_clock_that_was_set_back_holds_nobody_up(shared: Workshop) -> None:
    shared.time.now += 10 * 3_600
    before = shared.gate(host="h.example")
    before.enter(0.0)
    before.close_for(600.0)
    shared.time.now = START
    after = shared.gate(host="h.example")
    after.enter(0.0)
    with pytest.raises(UpstreamUnavailable):
        after.enter(0.5)
    after.close_for(5.0)
    after.enter(5.0)


def test_without_the_database_the_process_keeps_its_own_gate_and_says_so_once(
    shared: Workshop,
) -> None:
    time = shared.time
    gate = shared.gate(host="h.example")
    gate.enter(0.0)
    rename(shared, "gates", "gone")
    with structlog.testing.capture_logs() as said:
        gate.enter(2.0)  # spaced from the one that went out through the shared gate
        gate.enter(2.0)
        assert time.slept == [1.0, 1.0]
        gate.close_for(30.0)
        with pytest.raises(UpstreamUnavailable) as caught:
            gate.enter(29.0)
        assert caught.value.retry_after == 30.0
        rename(shared, "gone", "gates")
        # What this process was told alone, the others learn as soon as it can be stored.
        with pytest.raises(UpstreamUnavailable):
            gate.enter(29.0)
        with pytest.raises(UpstreamUnavailable) as caught:
            shared.gate(host="h.example").enter(29.0)
        assert caught.value.retry_after == 30.0
        gate.enter(30.0)
    assert [line["event"] for line in said] == ["gate_not_shared", "gate_shared_again"]
    assert said[0]["host"] == "h.example"


def rename(shared: Workshop, name: str, to: str) -> None:
    """Take the table away, or bring it back."""
    assert shared.engine is not None
    with transaction(shared.engine) as connection:
        connection.execute(text(f"ALTER TABLE {name} RENAME TO {to}"))


def test_a_database_that_does_not_answer_stops_no_request_and_frees_none_from_its_turn() -> None:
    nobody = open_engine("postgresql://mms@127.0.0.1:1/mms")
    workshop = Workshop(FakeTime(), nobody)
    gate = workshop.gate()
    gate.enter(0.0)
    gate.enter(1.0)
    with pytest.raises(UpstreamUnavailable):
        gate.enter(0.5)
    gate.close_for(9.0)
    gate.enter(9.0)
    assert workshop.time.slept == [1.0, 9.0]
    nobody.dispose()


def test_without_a_fallback_nobody_passes_while_the_database_is_away(shared: Workshop) -> None:
    gate = shared.strict("h.example")
    rename(shared, "gates", "gone")
    with structlog.testing.capture_logs() as said:
        for _ in range(2):
            with pytest.raises(StoreUnusable):
                gate.enter(60.0)
        gate.close_for(30.0)
        rename(shared, "gone", "gates")
        with pytest.raises(UpstreamUnavailable) as caught:
            gate.enter(29.0)
        assert caught.value.retry_after == 30.0
        gate.enter(30.0)
    assert shared.time.slept == [30.0]
    assert said == []  # who is kept out learns the reason


@contextmanager
def locked(engine: Engine, seconds: float) -> Iterator[None]:
    """Another program holds the gate's row, or SQLite's only lock, for so long."""
    held = threading.Event()

    def hold() -> None:
        with transaction(engine) as connection:
            connection.execute(text("UPDATE gates SET closed_until = closed_until"))
            held.set()
            real.sleep(seconds)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(10.0)
        yield
    finally:
        holder.join(seconds + 10.0)


def test_a_turn_that_the_database_gives_too_late_is_the_databases_trouble(
    shared: Workshop,
) -> None:
    assert shared.engine is not None
    gate = DatabaseGate(shared.engine, "h.example", 50.0, fallback=HostGate("h.example", 50.0))
    gate.enter(5.0)
    with locked(shared.engine, 1.5), pytest.raises(StoreUnavailable, match="whose turn it is"):
        gate.enter(0.2)
    with locked(shared.engine, 1.5):
        gate.enter(5.0)  # late, but in time


def test_threads_of_a_process_stand_in_line_and_those_without_hope_are_told_at_once(
    shared: Workshop,
) -> None:
    assert shared.engine is not None
    gate = DatabaseGate(shared.engine, "h.example", 2.0)
    gate.enter(1.0)
    outcomes: list[tuple[float, UpstreamUnavailable | None]] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait(10.0)
        begun, refused = real.monotonic(), None
        try:
            gate.enter(1.1)
        except UpstreamUnavailable as error:
            refused = error
        outcomes.append((real.monotonic() - begun, refused))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    # 1.1 s hold two turns of 0.5 s, or three with the one that stands open by now.
    assert 1 <= sum(error is None for _, error in outcomes) <= 3
    refused = [(took, error) for took, error in outcomes if error is not None]
    assert all(isinstance(error, OutOfTurn) and error.retry_after for _, error in refused)
    assert sum(took < 0.4 for took, _ in refused) >= 4


def test_one_that_waits_gets_its_turn_however_many_another_process_sends(
    shared: Workshop,
) -> None:
    assert shared.engine is not None
    crowd, one = (DatabaseGate(shared.engine, "h.example", 10.0) for _ in range(2))
    done = threading.Event()

    def press() -> None:
        while not done.wait(0.02):
            with suppress(UpstreamUnavailable, StoreUnavailable):
                crowd.enter(3.0)

    threads = [threading.Thread(target=press) for _ in range(40)]
    for thread in threads:
        thread.start()
    begun = real.monotonic()
    try:
        for _ in range(5):
            one.enter(20.0)
    finally:
        took = real.monotonic() - begun
        done.set()
        for thread in threads:
            thread.join(10.0)
    # Two stand for each turn; were it one of 41 it would get five in twenty seconds.
    assert took < 8.0


def test_by_default_the_clock_is_the_databases_and_really_runs(shared: Workshop) -> None:
    assert shared.engine is not None
    gate = DatabaseGate(shared.engine, "h.example", 50.0, fallback=OpenGate())
    started = real.monotonic()
    for _ in range(5):
        gate.enter(5.0)
    assert 0.08 <= real.monotonic() - started < 5.0
    gate.close_for(30.0)
    with pytest.raises(UpstreamUnavailable) as caught:
        gate.enter(5.0)
    assert caught.value.retry_after == pytest.approx(30.0, abs=5.0)
