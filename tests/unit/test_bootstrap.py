"""Composition: what is opened only when somebody needs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from app.bootstrap import LazyPriceSource
from app.core.prices import Coin, PriceReply, PriceSource

REPLY = PriceReply((), (), 1_700_000_000)


class OneReply:
    def prices(self, coins: Sequence[Coin], currency: str) -> PriceReply:
        return REPLY


def test_two_first_requests_at_once_open_one_source_and_the_end_closes_it() -> None:
    events: list[str] = []
    second_opened = threading.Event()
    replies: list[PriceReply] = []

    @contextmanager
    def open_source() -> Iterator[PriceSource]:
        events.append("opened")
        if second.ident is None:
            second.start()
            second_opened.wait(0.05)  # it must not happen, so there is nothing to wait for
        else:
            second_opened.set()
        yield OneReply()
        events.append("closed")

    lazy = LazyPriceSource(open_source)
    second = threading.Thread(target=lambda: replies.append(lazy.prices((), "usd")))
    assert events == []
    replies.append(lazy.prices((), "usd"))
    second.join()
    assert (events, replies) == (["opened"], [REPLY, REPLY])
    lazy.close()
    assert events == ["opened", "closed"]


def test_a_source_that_nobody_asked_is_not_opened_to_be_closed() -> None:
    events: list[str] = []

    @contextmanager
    def open_source() -> Iterator[PriceSource]:
        events.append("opened")
        yield OneReply()

    LazyPriceSource(open_source).close()
    assert events == []
