"""The benchmark of the edge: its readers, its crowds, and what its pages say."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from app.core.market import Candle
from app.db.database import open_engine
from app.db.stores.series import SqlSeriesStore
from benchmarks.edge.__main__ import page
from benchmarks.edge.bench import at_most, doubled, exactly, told
from benchmarks.edge.crowd import SILENT, crowd
from benchmarks.edge.raw import page as raw_page
from benchmarks.edge.reader import Readers, Tally
from benchmarks.edge.streams import Listeners, writer
from tests.support.candles import BTC_DAILY
from tests.support.patience import until
from tests.support.raw import Case, Outcome
from tests.support.served import api


def test_readers_count_replies_and_crowds_see_when_they_are_cut(tmp_path: Path) -> None:
    with api(tmp_path, "api", HEADER_TIMEOUT_SECONDS="1") as served:
        readers = Readers(served.port, "/healthz", connections=2, rate=20)
        with crowd(served.port, SILENT, 3) as seen:
            until(lambda: len(seen.ended) >= 3)
        tally = readers.end()
    assert set(tally.statuses) == {"200"}
    assert len(tally.waits) == tally.statuses["200"] > 0
    assert tally.failed() == 0


def test_listeners_hear_what_the_writer_commits(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'mms.db'}"
    with api(tmp_path, "api", DB_URL=url) as served:
        store = SqlSeriesStore(open_engine(url))
        with store.begin(BTC_DAILY) as unit:
            unit.put_candles([Candle(1_711_670_400, 5, 5, 5, 5, None)])
            unit.finish(changed=True, now=1_711_760_000)
        listeners = Listeners(served.port, 3)
        with writer(tmp_path / "mms.db") as commit:
            for name in ("price", "averages"):
                committed = commit(name)
                assert listeners.hear(name.encode()) >= committed
                listeners.rest()
        listeners.close()


def test_a_reply_that_does_not_come_counts_until_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        readers = Readers(silent.getsockname()[1], "/", connections=1, rate=50)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(10)
            begun = time.monotonic()
            tally = readers.end()
    assert tally.unanswered == tally.failed() == 1
    assert 0 < tally.waits[0] <= (time.monotonic() - begun + 1) * 1e3


def test_a_limit_that_does_not_hold_is_named() -> None:
    slow, fast = Tally([1.0] * 98 + [9.0] * 2), Tally([1.0] * 98 + [3.0] * 2)
    ours = [doubled("p99", [fast], [slow]), exactly("lost", 0, 0), at_most("memory", 5, 5, "MB")]
    text = page({"before": [told("a", "7")] * 3, "this": ours})
    assert "| p99 | ≤ 2 × | 7 | 3 × | NO |" in text
    assert "| lost | 0 | 7 | 0 | yes |" in text
    assert "| memory | ≤ 5 MB | 7 | 5 MB | yes |" in text


def test_a_raw_request_that_got_something_else_stands_in_the_page() -> None:
    case = Case("subject", "a|b", (b"",), "200 200 200")
    line = raw_page([(case, Outcome(closed=True))]).splitlines()[-1]
    assert line == r"| subject | a\|b | 200 × 3 | close | expected 200 200 200; came close |"
