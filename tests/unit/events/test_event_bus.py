"""The event bus: publishing never waits, listeners are isolated, every loss is reported."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import structlog

from app.events.bus import EventBus
from app.events.types import CandlesLoaded, CandlesRefused, Event
from tests.support.candles import BTC_DAILY
from tests.support.loopback import nothing_left_behind
from tests.support.patience import until


def refused(count: int) -> CandlesRefused:
    return CandlesRefused(BTC_DAILY, count)


@dataclass
class Ear:
    """A listener that records, and waits while it is held."""

    heard: list[Event] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)
    free: threading.Event = field(default_factory=threading.Event)
    held: bool = False

    def __call__(self, event: Event) -> None:
        self.heard.append(event)
        self.threads.add(threading.current_thread().name)
        if self.held:
            assert self.free.wait(timeout=60)


def fails(_event: Event) -> None:
    raise ValueError("no")


def dispatchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "events"]


def test_each_listener_hears_its_events_in_the_order_they_were_published() -> None:
    one, other = Ear(), Ear()
    bus = EventBus({CandlesRefused: [one, other]})
    events = [refused(number) for number in range(300)]
    for event in events:
        bus.publish(event)
    assert bus.close()
    assert one.heard == other.heard == events
    assert one.threads == {"events"}


def test_a_listener_that_fails_is_named_with_its_event_and_the_others_run() -> None:
    before, after = Ear(), Ear()
    bus = EventBus({CandlesRefused: [before, fails, after]})
    with structlog.testing.capture_logs() as logged:
        bus.publish(refused(1))
        bus.publish(refused(2))
        assert bus.close()
    for ear in (before, after):
        assert ear.heard == [refused(1), refused(2)]
    assert [(line["event"], line["log_level"]) for line in logged] == [
        ("listener_failed", "error")
    ] * 2
    assert {(line["published"], line["listener"]) for line in logged} == {
        ("CandlesRefused", "fails")
    }
    assert all(line["exc_info"] for line in logged)


def test_publishing_into_a_full_queue_returns_at_once_and_the_loss_is_counted_and_said() -> None:
    ear = Ear(held=True)
    bus = EventBus({CandlesRefused: [ear]}, capacity=10)
    with structlog.testing.capture_logs() as logged:
        bus.publish(refused(0))
        until(lambda: len(ear.heard) == 1)
        # The listener is held meanwhile: a publisher that waited for room would wait for ever.
        for number in range(1, 31):
            bus.publish(refused(number))
        ear.free.set()
        assert bus.close()
    assert ear.heard == [refused(number) for number in range(11)]
    assert bus.counts()["dropped"] == 20
    assert [line["event"] for line in logged] == ["event_dropped"] * 20
    assert {line["dropped_event"] for line in logged} == {"CandlesRefused"}
    assert [line["dropped"] for line in logged] == list(range(1, 21))


def test_closing_delivers_what_is_queued() -> None:
    ear = Ear(held=True)
    bus = EventBus({CandlesRefused: [ear]})
    for number in range(200):
        bus.publish(refused(number))
    timer = threading.Timer(0.05, ear.free.set)
    timer.start()
    with structlog.testing.capture_logs() as logged:
        assert bus.close(within=60)
    assert len(ear.heard) == 200
    timer.join()
    assert logged == []
    assert dispatchers() == []


def test_closing_gives_up_at_its_deadline_and_says_how_many_were_left() -> None:
    ear = Ear(held=True)
    bus = EventBus({CandlesRefused: [ear]})
    for number in range(5):
        bus.publish(refused(number))
    until(lambda: len(ear.heard) == 1)
    with structlog.testing.capture_logs() as logged:
        assert not bus.close(within=0.1)
    assert [(line["event"], line["count"]) for line in logged] == [("events_undelivered", 5)]
    # What a listener needs may be closed by now: it hears nothing more, however late it comes back.
    ear.free.set()
    until(lambda: dispatchers() == [])
    assert ear.heard == [refused(0)]
    assert bus.counts()["dropped"] == 4


def test_what_is_published_after_the_end_is_dropped_and_said() -> None:
    ear = Ear()
    bus = EventBus({CandlesRefused: [ear]})
    bus.publish(refused(1))
    assert bus.close()
    with structlog.testing.capture_logs() as logged:
        bus.publish(refused(2))
    assert ear.heard == [refused(1)]
    assert bus.counts()["dropped"] == 1
    assert [(line["event"], line["reason"]) for line in logged] == [
        ("event_dropped", "the bus is closed")
    ]


def test_a_bus_that_was_stopped_while_it_started_its_thread_can_be_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stopped(BaseException):
        pass

    def interrupted(_thread: threading.Thread) -> None:
        raise Stopped

    bus = EventBus({})
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(Stopped):
            bus.publish(CandlesLoaded(BTC_DAILY, 1, 0, 1, 1))
    assert bus.close()


def test_a_bus_that_is_closed_leaves_no_thread() -> None:
    with nothing_left_behind():
        bus = EventBus({})
        bus.publish(refused(1))
        assert len(dispatchers()) == 1
        assert bus.close()
        assert dispatchers() == []
        assert bus.close()


def test_every_event_that_was_published_is_delivered_or_counted_as_dropped() -> None:
    # Closing races with publishing: whichever comes first, no event is lost without a word.
    for _ in range(20):
        ear = Ear()
        bus = EventBus({CandlesRefused: [ear]}, capacity=20)
        start = threading.Barrier(3)

        def publish(bus: EventBus = bus, start: threading.Barrier = start) -> None:
            start.wait(timeout=10)
            for number in range(40):
                bus.publish(refused(number))

        work: list[Callable[[], None]] = [publish, publish]
        with structlog.testing.capture_logs(), ThreadPoolExecutor(2) as pool:
            done = [pool.submit(item) for item in work]
            start.wait(timeout=10)
            assert bus.close()
            for future in done:
                future.result(timeout=10)
        assert len(ear.heard) + bus.counts()["dropped"] == 80
