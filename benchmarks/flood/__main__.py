"""How long one upstream call takes, and how much memory, when the host trickles or floods.

Each case runs in its own process. A first request to a well-behaved stand-in gives the base of its
resident memory. A second request meets the fault, with the default limits and without a retry.
`python -m benchmarks.flood [--quick]` prints a table. It exits 1 where a promise is broken: at most
20 s and 50 MB above base.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from app.core.errors import UpstreamError
from app.core.market import Interval, Pair, Series
from app.sandbox.exchange import V4_PATH, Exchange
from app.sandbox.fault_kinds import Fault
from app.sandbox.faults import fault
from app.sandbox.server import serve
from app.sandbox.simulation import Simulation
from app.sources.http import UpstreamHttp
from app.sources.local_rate_limiter import LocalRateLimiter
from app.sources.mercado_bitcoin import MercadoBitcoin, read_error
from app.sources.retry import RetryPolicy

MOST_SECONDS: Final = 20.0
MOST_MEGABYTES: Final = 50.0

_ROOT: Final = Path(__file__).resolve().parents[2]
_SERIES: Final = Series(Pair("BTC", "BRL"), Interval.DAY)
_DAYS: Final = 500
_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")


def cases(megabytes: int, *, quick: bool) -> dict[str, Fault]:
    """The faults by what they are; `quick` leaves out those that last until a time-out."""
    # Just below the longest body, of the JSON that takes most memory for its length.
    dense = f"[{('[' * 50 + ']' * 50 + ',') * 2_360}{'1.5,' * 170_000}0]"
    faults = {
        f"{megabytes} MB body, its length announced": fault(f"flood={megabytes}"),
        f"{megabytes} MB body until close": fault(f"flood={megabytes},framing=close"),
        f"{megabytes} MB header": fault(f"flood={megabytes},at=head"),
        f"gzip body that holds {megabytes} MB": fault(f"gzip-bomb={megabytes}"),
        "100,000 nested brackets": fault(f"status=200,body={'[' * 100_000}"),
        "dense JSON just below the longest body": fault(f"value={dense}"),
    }
    if not quick:
        faults |= {
            "one byte a second from the first one on": fault("trickle=1"),
            "one byte a second of the body": fault("trickle=1,at=body"),
            "ten bytes a second of the body": fault("trickle=0.1,at=body"),
            "silence": fault("hang"),
            "silence in the middle of the body": fault("hang,at=body"),
        }
    return faults


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every case, print a line for each, and say whether the promises hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1_000, help="of a flood (default: 1000)")
    parser.add_argument("--quick", action="store_true", help="only what does not last")
    parser.add_argument("--ask", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.ask:
        print(json.dumps(measured(options.ask)))
        return 0
    rows = []
    print(f"{'the host sends':42}{'seconds':>9}{'MB above base':>15}  the caller gets")
    exchange = Exchange(Simulation(1, {_SERIES.pair: None}), clock=time.time)
    with serve(exchange) as url:
        for name, trouble in cases(options.megabytes, quick=options.quick).items():
            row = _in_a_process(exchange, url, trouble)
            rows.append(row)
            print(f"{name:42}{row['seconds']:9.2f}{row['megabytes']:15.1f}  {row['got']}")
    seconds, megabytes = (max(row[what] for row in rows) for what in ("seconds", "megabytes"))
    kept = seconds <= MOST_SECONDS and megabytes <= MOST_MEGABYTES
    print(
        f"most: {seconds:.1f} s of {MOST_SECONDS:.0f}, {megabytes:.1f} MB of {MOST_MEGABYTES:.0f}: "
        f"{'kept' if kept else 'BROKEN'}"
    )
    return 0 if kept else 1


def _in_a_process(exchange: Exchange, url: str, trouble: Fault) -> dict[str, Any]:
    exchange.faults.clear()
    exchange.faults.add(trouble.model_copy(update={"after": 1}))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.flood", "--ask", url],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"the measuring process failed:\n{done.stderr}")
    measurement: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measurement


def measured(url: str) -> dict[str, Any]:
    """Make one good call, then measure one: seconds, megabytes above base, and the outcome."""
    limiter = LocalRateLimiter("loopback", 1_000.0)
    once = RetryPolicy(attempts=1)
    with UpstreamHttp(url + V4_PATH, limiter, read_error=read_error, policy=once) as http:
        source = MercadoBitcoin(http, time.time)
        _page(source)
        gc.collect()
        base = _resident()
        begun = time.monotonic()
        got = "an answer"
        try:
            _page(source)
        except UpstreamError as error:
            got = type(error).__name__
        seconds = time.monotonic() - begun
        return {"seconds": seconds, "megabytes": (_peak() - base) / 1e6, "got": got}


def _page(source: MercadoBitcoin) -> None:
    last = _SERIES.interval.last_closed(time.time())
    source.page(_SERIES, last - (_DAYS - 1) * _SERIES.step, last)


def _resident() -> float:
    """Bytes of memory that the process holds now; its highest mark starts anew from here."""
    with suppress(OSError):  # elsewhere than on Linux the mark so far must do
        _CLEAR.write_text("5")
        return _status("VmRSS")
    return _peak()


def _peak() -> float:
    """The most bytes of memory that the process has held since the mark."""
    if _STATUS.exists():
        return _status("VmHWM")
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage * (1.0 if sys.platform == "darwin" else 1024.0)


def _status(name: str) -> float:
    lines = _STATUS.read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    sys.exit(main())
