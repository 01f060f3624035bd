"""Several processes that ask one host through a gate in one database.

`python -m tests.support.askers DB_URL BASE_URL RATE PROCESSES QUESTIONS`: each process asks so many
questions, from the same moment on. Exit 0 where all were answered.
"""

from __future__ import annotations

import multiprocessing
import sys
from multiprocessing.synchronize import Barrier

from app.db.gate import DatabaseGate
from app.db.session import open_engine
from app.sources.gate import HostGate
from app.sources.http import UpstreamHttp
from app.sources.retry import RetryPolicy

PATIENCE = RetryPolicy(total=60.0)


def ask(start: Barrier, db_url: str, base_url: str, rate: float, questions: int) -> None:
    """What one process does. All that it works with is its own."""
    engine = open_engine(db_url)
    gate = DatabaseGate(engine, "exchange", rate, fallback=HostGate("exchange", rate))
    with UpstreamHttp(base_url, gate, policy=PATIENCE) as http:
        start.wait(30.0)
        for _ in range(questions):
            http.get_json("symbols", {"symbols": "BTC-BRL"})
    engine.dispose()


def main(db_url: str, base_url: str, rate: str, processes: str, questions: str) -> int:
    """Start them together; returns how many failed."""
    # Forked from a process with one thread, so that what takes longest, the imports, happens once.
    context = multiprocessing.get_context("fork")
    start = context.Barrier(int(processes))
    asking = [
        context.Process(target=ask, args=(start, db_url, base_url, float(rate), int(questions)))
        for _ in range(int(processes))
    ]
    for process in asking:
        process.start()
    for process in asking:
        process.join()
    return sum(process.exitcode != 0 for process in asking)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
