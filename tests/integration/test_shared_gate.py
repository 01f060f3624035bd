"""Eight processes at one host: together they ask no faster than one may, and rest when it says so."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

from app.core.market import Pair
from app.db import schema
from app.db.session import open_engine
from app.sandbox.exchange import Exchange
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.sandbox.wire import Reply
from tests.support.processes import ended, process

PROCESSES, QUESTIONS, RATE = 8, 2, 5.0
RETRY_AFTER = 1
REFUSED = 10
"""Which request is told to come back later."""

JITTER = 0.1
"""Seconds that a busy machine may take from the gate to the host, more for one request than another."""


class Busy(Exchange):
    """A sandbox exchange that once asks for peace."""

    def answer(self, target: str) -> Reply:
        reply = super().answer(target)
        if len(self.requests) != REFUSED:
            return reply
        return Reply(429, b'{"message":"later"}', headers=(("Retry-After", str(RETRY_AFTER)),))


def test_eight_processes_keep_one_hosts_rate_and_its_retry_after(
    db_url: str, tmp_path: Path
) -> None:
    engine = open_engine(db_url)
    schema.migrate(engine)
    engine.dispose()
    exchange = Busy(Simulation(1, {Pair("BTC", "BRL"): None}), clock=time.time)
    with serve(exchange) as url:
        asked = (db_url, f"{url}/api/v4", str(RATE), str(PROCESSES), str(QUESTIONS))
        with process(tmp_path, "-m", "tests.support.askers", *asked) as askers:
            code, said = ended(askers)
    assert code == 0, said
    arrived = sorted(request.at for request in exchange.requests)
    assert len(arrived) == PROCESSES * QUESTIONS + 1
    assert min(b - a for a, b in pairwise(arrived)) >= 1 / RATE - JITTER
    # Whatever one request was late, in all they cannot have been faster than the rate.
    rest = arrived[REFUSED] - arrived[REFUSED - 1]
    assert rest >= RETRY_AFTER
    assert arrived[-1] - arrived[0] - rest >= (len(arrived) - 2) / RATE - JITTER
    assert "gate_not_shared" not in said
