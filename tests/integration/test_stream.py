"""GET /stream of a real process: commits of others, its stop, and its limit."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path

from app.core.market import DAY, Candle
from app.core.prices import Coin, SpotPrice
from app.db import schema
from app.db.database import open_engine
from app.db.stores.prices import SqlPriceStore
from app.db.stores.series import SqlSeriesStore
from app.domain.times import iso
from tests.support.candles import BTC_DAILY
from tests.support.events import Listener, listening
from tests.support.processes import DEADLINE
from tests.support.served import api

LAST = 1_796_000_000 // DAY * DAY
PRICE = 40_000_000_000_000


class Writer:
    """What a loader and a collector commit, in a process that is not the API's."""

    def __init__(self, url: str) -> None:
        engine = open_engine(url)
        schema.migrate(engine)
        self._series, self._prices = SqlSeriesStore(engine), SqlPriceStore(engine)

    def revise(self, close: int, at: float = LAST + DAY + 60) -> int:
        """Store a candle with this close; returns the revision."""
        with self._series.begin(BTC_DAILY) as unit:
            unit.put_candles([Candle(LAST, close, close, close, close, None)])
            return unit.finish(changed=True, now=at)

    def collect(self, value: int) -> int:
        """Store a price of bitcoin; returns its id."""
        price = SpotPrice(Coin("BTC", "bitcoin"), value, "usd", LAST)
        return self._prices.add([price], LAST)[0].id


def folder_with(tmp_path: Path) -> tuple[Writer, dict[str, str]]:
    url = f"sqlite:///{tmp_path / 'mms.db'}"
    return Writer(url), {"DB_URL": url, "RATE_LIMIT": "off"}


def begun(stream: Listener) -> str:
    """The id that the stream begins with."""
    first = stream.next()
    assert first is not None
    assert not first.name
    return first.id


def test_a_listener_hears_what_another_process_commits(tmp_path: Path) -> None:
    writer, settings = folder_with(tmp_path)
    writer.revise(PRICE)
    with api(tmp_path, "api", **settings) as served, listening(served.port) as stream:
        begun(stream)
        revision = writer.revise(PRICE + 1, LAST + DAY + 120)
        event = stream.until(lambda each: each.name == "averages")
        assert event.data["close"] == 400000.00000001
        assert event.id.startswith(f"{revision}-")
        status = stream.until(lambda each: each.name == "gaps")
        assert (status.data["pair"], status.data["as_of"]) == ("BRLBTC", iso(LAST))
        number = writer.collect(PRICE)
        event = stream.until(lambda each: each.name == "price")
        assert (event.data["id"], event.id) == (number, f"{revision}-{number}")


def test_streams_end_at_a_stop_and_the_next_process_goes_on_where_they_were(
    tmp_path: Path,
) -> None:
    writer, settings = folder_with(tmp_path)
    writer.revise(PRICE)
    hour = ("--grace", "3600")
    with api(tmp_path, "api", *hour, **settings) as served, listening(served.port) as stream:
        last = begun(stream)
        assert served.stop() == 0
        assert stream.rest() == []
    revision = writer.revise(PRICE + 1, LAST + DAY + 120)
    number = writer.collect(PRICE)
    with api(tmp_path, "next", **settings) as served, listening(served.port, last) as stream:
        assert begun(stream) == f"{revision}-{number}"
        missed = [stream.next() for _ in range(3)]
        assert [each and each.name for each in missed] == ["averages", "gaps", "price"]


def test_beyond_its_limit_a_process_refuses_streams_and_answers_the_rest(tmp_path: Path) -> None:
    _, settings = folder_with(tmp_path)
    with (
        api(tmp_path, "api", **settings, MAX_STREAMS="2", MAX_CONNECTIONS="1") as served,
        listening(served.port) as first,
        listening(served.port) as second,
    ):
        begun(first), begun(second)
        connection = HTTPConnection("127.0.0.1", served.port, timeout=DEADLINE)
        for path, status in (("/stream", 503), ("/pairs", 200)):
            connection.request("GET", path)
            reply = connection.getresponse()
            problem = json.loads(reply.read())
            assert reply.status == status
            assert status == 200 or problem["code"] == "overloaded"
        connection.close()
