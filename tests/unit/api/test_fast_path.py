"""The fast path: the replies of the ordinary route, byte for byte, at a small part of the cost."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.core.market import DAY, AverageSlice, Interval, Series, Window
from app.db.cache.averages import CHECK_EVERY, CachedAverageStore, block_memory
from app.services.averages import next_change
from app.testing.series import MemorySeriesStore
from tests.support.api import LAST, NOW, Client, FakeRuntime, load, serving
from tests.support.cached import Clock
from tests.support.candles import BTC

READ = "/BRLBTC/mms?range=20"
ID = ("X-Request-ID", "abc")
GZIP = ("Accept-Encoding", "gzip, deflate, br")
HOURLY = Series(BTC, Interval.HOUR)


class CountedStore(CachedAverageStore):
    """A cached store that counts the reads of the ordinary route."""

    reads = 0

    def read(self, series: Series, window: Window, first: int, last: int) -> AverageSlice:
        self.reads += 1
        return super().read(series, window, first, last)


@dataclass
class Stand:
    """One store behind two services, of which the first has the fast path."""

    store: MemorySeriesStore = field(default_factory=MemorySeriesStore)
    clock: Clock = field(default_factory=Clock)
    rate: str = "off"

    def __post_init__(self) -> None:
        self.cached = CountedStore(self.store, block_memory(10**9), monotonic=self.clock)
        self.runtimes = (
            FakeRuntime(self.store, averages=self.cached, warm=self.cached),
            FakeRuntime(self.store),
        )
        self._closing = ExitStack()
        self.fast, self.ordinary = (
            self._closing.enter_context(
                serving(runtime, intervals="1d,1h", access_log="off", rate_limit=self.rate)
            )
            for runtime in self.runtimes
        )

    def later(self, seconds: float) -> None:
        """Let time pass, so that every commit so far is seen."""
        self.clock.now += max(seconds, CHECK_EVERY)
        for runtime in self.runtimes:
            runtime.now += seconds

    def close(self) -> None:
        self._closing.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    made = Stand()
    load(made.store, without=[LAST - 9 * DAY, LAST - 100 * DAY])
    yield made
    made.close()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def a_request(chance: random.Random, tags: Sequence[str]) -> tuple[str, str, list[tuple[str, str]]]:
    """A request for averages, most often a right one, in any spelling."""
    often = chance.random() < 0.85
    path = chance.choice(
        ["/BRLBTC/mms"] * 12
        + ["/BTC-BRL/mms", "/brlbtc/mms", "/btc-brl/mms", "/BRLETH/mms"]
        + ["/bRlBTC/mms", "/BRL%42TC/mms", "/BRLBTC/mms/", "/BRLXYZ/mms", "/history/mms"]
    )
    at = LAST - chance.randrange(700) * DAY + chance.choice([0, 0, 1, DAY - 1, 86_399 * 7])
    moments = [str(at), "2024-01-31", "2023-06-01T00:00:00Z", "2024-02-01T21:00:00-03:00"]
    strange = ["", "20240101", "1711670400000", "2024-13-01", "2024-01-01T00:00:00", "-1", "x" * 50]
    windows = ["20", "50", "200"]
    names = [("range", chance.choice(windows if often else [*windows, "21", "", "2O", "020"]))]
    if chance.random() < 0.7:
        names.append(("from", chance.choice(moments if often else moments + strange)))
    if chance.random() < 0.5:
        later = [str(LAST - 20 * DAY + chance.randrange(40 * DAY)), "2024-03-25"]
        names.append(("to", chance.choice(later if often else moments + strange)))
    if chance.random() < 0.3:
        names.append(("interval", chance.choice(["1d", "1h"] * 4 + ["1m", "2d", ""])))
    if chance.random() < 0.1:
        rows = ["limit=5", "order=desc", "order=asc", "format=json", "format=csv", "time=iso"]
        names += [(n, v) for n, _, v in (part.partition("=") for part in chance.sample(rows, 2))]
    if not often:
        others = {"from": "from_ts", "to": "to_ts", "range": "range_days"}
        names = [(others.get(n, n) if chance.random() < 0.3 else n, value) for n, value in names]
        names += chance.choice([[], [], [], [("x", "1")], [names[0]], [("", "")]])
    chance.shuffle(names)
    query = "&".join(f"{name}={value}" for name, value in names)
    if chance.random() < 0.1:
        query = query.replace("-", "%2D").replace(":", "%3A")
    if chance.random() < 0.03:
        query = chance.choice(["", "&&", "range", "range=20&from=%FF", f"range=20&{'y' * 2_100}"])
    headers = [ID]
    accepted = ["gzip", "gzip, br", "gzip;q=0", "identity, gzip;q=0.5", "*", "br", ""]
    headers += [("Accept-Encoding", chance.choice(accepted))] * chance.choice(
        [0] * 4 + [1] * 6 + [2]
    )
    formats = [
        "*/*",
        "application/json",
        "text/csv",
        "text/html, */*;q=0.8",
        "text/html",
        "",
        "\xff",
    ]
    headers += [("Accept", chance.choice(formats))] * chance.choice([0] * 8 + [1] * 6 + [2])
    held = ["*", '"other"', "", 'W/"other", "more"', *tags[-3:], f'"a", {(tags or ["*"])[-1]}']
    headers += [("If-None-Match", chance.choice(held))] * chance.choice([0] * 8 + [1] * 4 + [2])
    return chance.choice(["GET"] * 6 + ["HEAD", "POST"]), f"{path}?{query}", headers


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_asked_the_reply_is_that_of_the_ordinary_route_byte_for_byte(
    stand: Stand, seed: int
) -> None:
    chance = random.Random(seed)
    load(stand.store, HOURLY, count=9_000, last=LAST + 23 * 3_600)
    tags: list[str] = []
    requests: list[tuple[str, str, list[tuple[str, str]]]] = []
    answered = 0
    for number in range(500):
        if number % 125 == 0:
            stand.later(chance.choice([0, 119, 3_600, DAY - 600, DAY]))
            gone = [LAST - chance.randrange(500) * DAY]
            load(stand.store, last=LAST + (number // 250) * DAY, without=gone)
        again = requests and chance.random() < 0.4
        request = chance.choice(requests) if again else a_request(chance, tags)
        requests.append(request)
        found, right = (api.raw(*request) for api in (stand.fast, stand.ordinary))
        assert found == right, request
        tags += [value.decode() for name, value in right[1] if name == b"etag"]
        answered += right[0] in (200, 304)
    # Most of them were answered without the ordinary route.
    assert answered > 200
    assert stand.cached.reads < answered / 3


def test_a_repeated_read_and_a_read_of_another_period_do_without_the_ordinary_route(
    stand: Stand,
) -> None:
    whole = [stand.fast.raw("GET", READ, [ID]) for _ in range(4)]
    assert stand.cached.reads == 1
    assert whole == [stand.ordinary.raw("GET", READ, [ID])] * 4
    for day in range(1, 30):
        assert stand.fast.get(f"{READ}&from=2024-01-{day:02}").status == 200
    assert stand.cached.reads == 1


@pytest.mark.parametrize("headers", [[ID], [ID, GZIP]])
def test_a_kept_reply_ends_with_every_moment_at_which_its_answer_changes(
    stand: Stand, headers: list[tuple[str, str]]
) -> None:
    # A close, the moment from which its bucket counts as missing, the end of its grace (after the
    # first, the series is stale); and the second before each.
    moments = [DAY, DAY + 120, DAY + 3_600, 2 * DAY, 2 * DAY + 120, 2 * DAY + 3_600]
    replies = set()
    for moment in [at for change in moments for at in (change - 1, change)]:
        stand.later(LAST + DAY + moment - stand.runtimes[0].now)
        for _ in range(3):
            found = stand.fast.raw("GET", READ, headers)
            assert found == stand.ordinary.raw("GET", READ, headers)
        replies.add(str(found[1]))
    assert len(replies) == 6


def test_a_kept_reply_ends_with_the_revision(stand: Stand) -> None:
    first = {stand.fast.raw("GET", READ, [ID])[2] for _ in range(3)}
    load(stand.store)
    stand.later(CHECK_EVERY)
    assert stand.fast.raw("GET", READ, [ID]) == stand.ordinary.raw("GET", READ, [ID])
    assert stand.fast.raw("GET", READ, [ID])[2] not in first


def test_a_kept_reply_is_not_used_when_the_clock_was_set_back(stand: Stand) -> None:
    for _ in range(3):
        stand.fast.raw("GET", READ, [ID])
    stand.later(-30 * DAY)
    found = stand.fast.raw("GET", READ, [ID])
    assert found == stand.ordinary.raw("GET", READ, [ID])


@pytest.mark.parametrize("interval", Interval)
def test_the_next_change_comes_within_an_interval(interval: Interval) -> None:
    for now in (NOW, NOW + 0.5, LAST, LAST + 119.9, LAST + 120, LAST + 3_599, LAST + 3_600):
        change = next_change(interval, now)
        assert now < change <= now + interval.seconds


def calls(work: Callable[[], Any]) -> int:
    """How many functions, of Python and of C, are called in this thread."""
    count = 0

    def counted(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_a_read_from_memory_takes_a_small_part_of_what_the_ordinary_route_takes(
    closing: ExitStack,
) -> None:
    stand = Stand(rate="9999/minute")
    closing.callback(stand.close)
    load(stand.store)

    def cost(api: Client, target: str) -> int:
        for _ in range(3):
            api.raw("GET", READ, [ID])
        empty = calls(lambda: api._runner.run(_nothing()))
        return calls(lambda: api.raw("GET", target, [ID])) - empty

    other = f"{READ}&from={LAST - 300 * DAY}&to={LAST}"
    ordinary = cost(stand.ordinary, READ)
    assert cost(stand.fast, READ) < ordinary / 19
    assert cost(stand.fast, other) < ordinary / 5


async def _nothing() -> None:
    pass
