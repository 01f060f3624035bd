"""The cheap line of a request is structlog's line, in its order, and cannot fail a request."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.core.access_log import AccessLog, request_ids
from app.core.logging import WHOLE, configure, flush
from tests.support.logs import log_as_before

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with log_as_before():
        yield


class Pieces(io.StringIO):
    """A stream that records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


class Finalizing(io.StringIO):
    """A stream during whose first write something logs, as a finalizer may."""

    def write(self, text: str) -> int:
        if "finalized" not in self.getvalue():
            super().write("finalized\n")
            structlog.get_logger().info("inner")
        return super().write(text)


class Broken(io.StringIO):
    """A pipe without a reader."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def ask(access: AccessLog, path: str = "/BRLBTC/mms", query: str = "", size: int = 2) -> None:
    access.write("abc", "GET", path, query, 200, 1.25, size, "192.0.2.7")


def nanoseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1) * 1_000


texts = st.text(max_size=40)


@given(
    st.tuples(
        *(texts, texts, texts, st.integers(0, 599)),
        *(st.floats(0, 1e9), st.integers(0, 10**12), st.none() | texts),
    ),
    texts,
)
def test_the_line_is_structlogs_line(values: tuple[Any, ...], request_id: str) -> None:
    names = ("method", "path", "query", "status", "duration_ms", "bytes", "client")
    with log_as_before():
        configure("INFO", "json", reference := io.StringIO())
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            structlog.get_logger().info("http_request", **dict(zip(names, values, strict=True)))
        moment = nanoseconds(json.loads(reference.getvalue())["timestamp"])
        configure("INFO", "json", stream := io.StringIO())
        AccessLog(lambda: moment).write(request_id, *values)
    assert stream.getvalue() == reference.getvalue()


@given(st.lists(st.integers(0, 10**20) | st.integers(0, 10**11).map(lambda s: s * 10**9)))
def test_the_timestamp_is_iso_to_the_microsecond(moments: list[int]) -> None:
    with log_as_before():
        configure("INFO", "json", stream := io.StringIO())
        access = AccessLog(iter(moments).__next__)
        for _ in moments:
            ask(access)
    assert [json.loads(line)["timestamp"] for line in stream.getvalue().splitlines()] == [
        (EPOCH + timedelta(microseconds=moment // 1_000)).isoformat().replace("+00:00", "Z")
        for moment in moments
    ]


def test_the_lines_of_a_turn_are_one_write_and_stand_in_order_with_every_other_line() -> None:
    stream = Pieces()
    configure("INFO", "json", stream)
    access = AccessLog()

    async def turns() -> None:
        ask(access, "/1")
        ask(access, "/2")
        assert stream.writes == []
        await asyncio.sleep(0)
        assert len(stream.writes) == 1
        ask(access, "/3")
        other = threading.Thread(target=structlog.get_logger().info, args=["from_a_thread"])
        other.start()
        other.join()
        ask(access, "/4")
        flush()
        assert len(stream.writes) == 4
        ask(access, "/5")
        configure("INFO", "json", io.StringIO())
        assert len(stream.writes) == 5

    asyncio.run(turns())
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    names = [line.get("path", line["event"]) for line in lines]
    assert names == ["/1", "/2", "/3", "from_a_thread", "/4", "/5"]


def test_a_write_holds_whole_lines_and_no_more_than_a_pipe_takes_in_one_piece() -> None:
    stream = Pieces()
    configure("INFO", "json", stream)
    access = AccessLog()

    async def turn() -> None:
        for number in range(100):
            ask(access, "/" + "x" * (5_000 if number == 50 else number))

    asyncio.run(turn())
    lines = stream.getvalue().splitlines(keepends=True)
    assert [len(json.loads(line)["path"]) - 1 for line in lines] == [
        *range(50),
        5_000,
        *range(51, 100),
    ]
    assert all(text.endswith("\n") for text in stream.writes)
    assert [text for text in stream.writes if len(text) > WHOLE] == [lines[50]]
    assert len(stream.writes) < 12


def test_lines_of_two_threads_are_neither_lost_nor_mixed() -> None:
    stream = io.StringIO()
    configure("INFO", "json", stream)

    def speak() -> None:
        for _ in range(300):
            structlog.get_logger().info("other")

    async def turns() -> None:
        for number in range(300):
            ask(access, size=number)
            await asyncio.sleep(0)

    access, other = AccessLog(), threading.Thread(target=speak)
    other.start()
    asyncio.run(turns())
    other.join()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == 600
    assert [line["bytes"] for line in lines if "bytes" in line] == list(range(300))


def test_the_line_follows_the_last_configuration() -> None:
    access = AccessLog()
    with capture_logs([structlog.contextvars.merge_contextvars]) as seen:
        ask(access)
    assert (seen[0]["event"], seen[0]["request_id"]) == ("http_request", "abc")
    configure("WARNING", "json", quiet := io.StringIO())
    ask(access)
    configure("INFO", "console", text := io.StringIO())
    ask(access, "/\x1b[31m")
    configure("INFO", "json", secrets=["sesame-open"])
    with capture_logs() as seen:
        ask(access)
    with contextlib.redirect_stderr(io.StringIO()) as redirected:
        ask(access, query="key=sesame-open")
    assert quiet.getvalue() == ""
    assert re.search(r"http_request .*path=\S*x1b\[31m.* request_id=abc", text.getvalue())
    assert text.getvalue().count("\n") == len(seen) == 1
    assert json.loads(redirected.getvalue())["query"] == "key=***"


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("closed", [True, False])
def test_a_stream_that_fails_loses_the_line_and_nothing_else(style: Any, closed: bool) -> None:
    stream = io.StringIO() if closed else Broken()
    configure("INFO", style, stream)
    if closed:
        stream.close()
    complaints: list[dict[str, Any]] = []

    async def turn() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: complaints.append(c))
        for _ in range(40):
            ask(AccessLog())
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert complaints == []


def test_a_line_that_is_logged_while_another_is_written_does_not_stop_the_process() -> None:
    configure("INFO", "json", stream := Finalizing())
    outer = threading.Thread(target=ask, args=[AccessLog()], daemon=True)
    outer.start()
    outer.join(10)
    assert not outer.is_alive()
    assert [word in stream.getvalue() for word in ("inner", "http_request")] == [True, True]


def test_request_ids_are_16_hexadecimal_digits_each_another() -> None:
    ids = list(islice(request_ids(), 2_000))
    assert len(set(ids)) == 2_000
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in ids)
