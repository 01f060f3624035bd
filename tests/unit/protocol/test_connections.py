"""How many connections there may be, and whose is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from structlog.testing import capture_logs

from app.core import open_files
from app.protocol.connections import MOST_UNSENT, Connections
from app.protocol.limits import MOST_CONNECTIONS, Limits
from tests.support.api import settings
from tests.support.protocol import RecordingTransport, Served


class FakeConnection:
    """A connection of a client that has been silent since then."""

    def __init__(self, key: str | None, silent_since: float | None = 0.0, unsent: int = 0) -> None:
        self.key = key
        self.silent_since = silent_since
        self.held = unsent
        self.was_cut = False

    def unsent(self) -> int:
        return self.held

    def look(self, now: float) -> None:
        """Nothing to do."""

    def cut(self) -> None:
        self.was_cut = True


def connections(**limits: int) -> Connections:
    return Connections(Limits.of(settings(**limits)), lambda: 0.0)


def run(steps: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(steps())


def test_beyond_the_limit_the_longest_silent_one_is_closed() -> None:
    async def steps() -> None:
        open_ = connections(max_connections=3)
        busy, old, young, new = (FakeConnection(None, since) for since in (None, 5.0, 7.0, 9.0))
        for each in (busy, young, old):
            assert open_.opened(each)
        assert open_.opened(new)
        assert [each.was_cut for each in (busy, old, young, new)] == [False, True, False, False]
        # The loop tells of none that was cut before its turn ends; many may come meanwhile.
        assert open_.opened(FakeConnection(None, 9.0))
        assert [each.was_cut for each in (young, new)] == [True, False]

    run(steps)


def test_many_that_come_beyond_the_limit_do_not_each_look_at_all_others() -> None:
    class Asked(FakeConnection):
        times = 0

        @property
        def silent_since(self) -> float | None:
            Asked.times += 1
            return self.since

        @silent_since.setter
        def silent_since(self, since: float | None) -> None:
            self.since = since

    async def steps() -> None:
        open_ = connections(max_connections=100)
        old = [Asked(None, float(number)) for number in range(100)]
        new = [Asked(None, 200.0) for _ in range(50)]
        assert all(map(open_.opened, [*old, *new]))
        assert [each.was_cut for each in old] == [True] * 50 + [False] * 50
        assert Asked.times <= 200

    run(steps)


def test_where_all_are_at_work_the_new_one_cannot_stay() -> None:
    async def steps() -> None:
        open_ = connections(max_connections=1)
        busy = FakeConnection(None, None)
        assert open_.opened(busy)
        assert not open_.opened(FakeConnection(None))
        open_.closed(busy)
        assert open_.opened(FakeConnection(None))

    run(steps)


def test_a_client_beyond_its_limit_loses_one_of_its_own() -> None:
    async def steps() -> None:
        open_ = connections(max_connections_per_client=2)
        other, first, second, third = (
            FakeConnection(key, since)
            for key, since in (("b", 1.0), ("a", 2.0), ("a", 3.0), ("a", 4.0))
        )
        with capture_logs() as lines:
            for each in (other, first, second, third):
                assert open_.opened(each)
            assert open_.opened(FakeConnection("a", 5.0))
        [line] = lines  # one a minute
        assert line == {
            "event": "connections_limited",
            "log_level": "warning",
            "setting": "MAX_CONNECTIONS_PER_CLIENT",
            "most": 2,
            "client": "a",
            "times": 1,
        }
        assert [each.was_cut for each in (other, first, second, third)] == [
            False,
            True,
            True,
            False,
        ]
        proxy = [FakeConnection(None) for _ in range(9)]
        assert all(map(open_.opened, proxy))
        assert not any(each.was_cut for each in proxy)

    run(steps)


def test_replies_that_wait_for_slow_readers_take_no_more_than_their_share_of_memory() -> None:
    open_ = connections()
    slow = [FakeConnection(None, unsent=MOST_UNSENT // 3) for _ in range(4)]
    for each in slow[:3]:
        open_.stuck(each)
    open_.flows(slow[0])
    open_.stuck(slow[0])
    assert not any(each.was_cut for each in slow)
    open_.stuck(slow[3])
    assert [each.was_cut for each in slow] == [False, True, False, False]


def test_by_default_a_fifth_of_the_open_files_is_left_for_others() -> None:
    files = open_files.for_connections()
    assert files is not None
    for streams in (0, 100, 1_000_000):
        limits = Limits.of(settings(max_streams=streams))
        assert limits.connections == min(MOST_CONNECTIONS, files - min(streams, files // 2))
    assert Limits.of(settings(max_connections="70")).connections == 70


def test_a_connection_at_work_is_not_silent_and_one_that_reads_nothing_is() -> None:
    async def steps() -> None:
        server = Served(limits={"max_connections": 2})
        working, reading, new = (RecordingTransport(f"10.0.0.{n}") for n in range(3))
        server.connect(working).data_received(b"GET /later HTTP/1.1\r\nhost: here\r\n\r\n")
        server.connect(reading).data_received(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        reading.unsent = 100_000
        server.after(1)
        server.connect(new)
        assert (working.closed, reading.closed, new.closed) == (False, True, False)
        server.app.may_answer.set()

    run(steps)


def test_streams_are_counted_apart_and_never_make_room_while_they_last() -> None:
    async def steps() -> None:
        server = Served(limits={"max_connections": 1})
        stream, reader, new = (RecordingTransport(f"10.0.0.{n}") for n in range(3))
        request = b"GET /later/stream HTTP/1.1\r\nhost: here\r\n\r\n"
        server.connect(stream).data_received(request)
        await asyncio.sleep(0)
        server.connect(reader)
        assert (stream.closed, reader.closed) == (False, False)
        server.connect(new)
        assert (stream.closed, reader.closed) == (False, True)
        server.app.may_answer.set()

    run(steps)


def test_a_connection_whose_stream_has_ended_counts_again() -> None:
    async def steps() -> None:
        open_ = connections(max_connections=1)
        stream, new = FakeConnection(None), FakeConnection(None)
        open_.opened(stream)
        open_.streams(stream)
        open_.rests(stream)
        assert open_.opened(new)
        assert stream.was_cut

    run(steps)


def test_whoever_takes_nothing_of_a_stream_is_cut() -> None:
    async def steps() -> None:
        server = Served()
        stream = RecordingTransport("10.0.0.1")
        request = b"GET /later/stream HTTP/1.1\r\nhost: here\r\n\r\n"
        server.connect(stream).data_received(request)
        await asyncio.sleep(0)
        server.after(3_600)
        assert not stream.closed
        stream.unsent = 10
        server.after(1)
        server.after(29)
        assert not stream.closed
        server.after(2)
        assert stream.closed

    run(steps)


def test_many_connections_are_looked_at_in_several_turns() -> None:
    async def steps() -> None:
        server = Served(limits={"max_connections": 1_000})
        transports = [RecordingTransport(f"10.0.{n // 200}.{n % 200}") for n in range(400)]
        for each in transports:
            server.connect(each)
        server.after(10)
        assert 0 < sum(each.closed for each in transports) < 200
        for _ in range(20):
            await asyncio.sleep(0)
        assert all(each.closed for each in transports)

    run(steps)
