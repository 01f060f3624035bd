"""GET /stream over ASGI: its replies. What a stream sends is in test_streams.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.core.errors import StoreUnavailable
from app.main import create_app
from app.testing.series import MemorySeriesStore
from tests.support.api import UNLIMITED, Client, FakeRuntime, load, serving, settings, started

EVENTS = "text/event-stream; charset=utf-8"


class BrokenStore(MemorySeriesStore):
    def marks(self) -> Any:
        raise StoreUnavailable("the database does not answer: away")


@contextmanager
def stopping(runtime: FakeRuntime | None = None, **overrides: Any) -> Iterator[Client]:
    """The API of a server that stops: each stream ends with its first words."""
    draining = threading.Event()
    draining.set()
    chosen = settings(**UNLIMITED | overrides)
    with started(create_app(chosen, (runtime or FakeRuntime()).build, draining=draining)) as client:
        yield client


def test_a_stream_is_sent_as_it_comes_and_stored_by_nobody() -> None:
    with stopping() as client:
        got = client.get("/stream", ("Accept", "text/event-stream"), ("Accept-Encoding", "gzip"))
        assert (got.status, got.body) == (200, b"retry: 3000\n\n")
        assert got.header("content-type") == EVENTS
        assert got.header("cache-control") == "no-store"
        assert got.header("x-accel-buffering") == "no"
        assert got.header("content-encoding") is None


def test_a_head_is_answered_at_once() -> None:
    runtime = FakeRuntime()
    load(runtime.store)
    app = create_app(settings(**UNLIMITED), runtime.build, draining=threading.Event())
    with started(app) as client:
        for _ in range(2):
            got = client.ask("HEAD", "/stream")
            assert (got.status, got.body, got.header("content-type")) == (200, b"", EVENTS)


def test_a_database_that_is_away_is_a_503_and_no_silent_stream() -> None:
    app = create_app(
        settings(**UNLIMITED), FakeRuntime(BrokenStore()).build, draining=threading.Event()
    )
    with started(app) as client:
        problem = client.get("/stream").json()
        assert (problem["status"], problem["code"]) == (503, "database-unavailable")


@pytest.mark.parametrize("of_uvicorn", [True, False])
def test_without_streams_the_answer_says_why(of_uvicorn: bool) -> None:
    # uvicorn alone would wait at its stop for streams that nobody ends.
    with serving(FakeRuntime()) if of_uvicorn else stopping(max_streams=0) as client:
        got = client.get("/stream")
        assert (got.status, got.json()["code"]) == (503, "overloaded")
        assert "MAX_STREAMS" in got.json()["detail"]
        assert "mms serve" in got.json()["detail"]
        assert got.header("retry-after") is not None


def test_a_client_that_takes_no_events_is_told() -> None:
    with stopping() as client:
        got = client.get("/stream", ("Accept", "application/json"))
        assert (got.status, got.json()["code"]) == (406, "not-acceptable")
        assert "text/event-stream" in got.json()["detail"]
        assert client.get("/stream", ("Accept", "text/*")).status == 200
        assert client.get("/stream?pair=BRLBTC").status == 422
