"""Eight processes at one host, in short: `make reliability ARGS=limiter` measures it in full.

Here they may ask five times a second, and the turns are judged as the rate limiter wrote them. The
arrival of a request also depends on other load: at that rate a process that stalls for a fifth of a
second looks like one that asks too soon.
"""

from __future__ import annotations

from benchmarks.reliability import limiter
from benchmarks.reliability.rig import Where
from tests.support.reliability import kept


def test_eight_processes_keep_one_hosts_rate_and_its_retry_after(where: Where) -> None:
    kept(limiter.measure(where, 16, rate=5.0, arrivals=False))
