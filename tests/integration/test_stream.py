"""GET /stream of a real process: commits of others, its stop, and its limit."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

from app.core.market import DAY, Candle
from app.core.prices import Coin, SpotPrice
from app.db import schema
from app.db.database import open_engine
from app.db.stores.prices import SqlPriceStore
from app.db.stores.series import SqlSeriesStore
from app.domain.times import iso
from app.sandbox.exchange import V4_PATH, Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from tests.support.candles import BTC_DAILY
from tests.support.events import Listener, listening
from tests.support.processes import DEADLINE, environment
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


def test_listeners_of_every_process_hear_what_a_command_has_committed(
    db_url: str, tmp_path: Path
) -> None:
    with serve(Exchange(Simulation(3), clock=time.time)) as url:
        settings = {
            "DB_URL": db_url,
            "MB_API_BASE_URL": url + V4_PATH,
            "MB_REQUESTS_PER_SECOND": "1000",
            "ALLOWED_PAIRS": "BRLBTC",
            "HISTORY_DAYS": "30",
        }
        with (
            api(tmp_path, "api", **settings, WORKERS="2") as served,
            ExitStack() as stack,
        ):
            # The system spreads connections over the processes.
            streams = [stack.enter_context(listening(served.port)) for _ in range(12)]
            assert [begun(each) for each in streams] == ["0-0"] * len(streams)
            subprocess.run(
                [sys.executable, "-m", "app.workers.initial_loader"],
                cwd=tmp_path,
                env=environment(tmp_path, **settings),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=DEADLINE,
                check=True,
            )
            for each in streams:
                event = each.until(lambda event: event.name == "averages")
                assert event.data["pair"] == "BRLBTC"


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
