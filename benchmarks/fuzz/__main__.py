"""Fuzz everything that reads what comes from outside: replies of exchanges, backups, requests.

The bytes that parsers read are mutated under coverage; requests are drawn by Hypothesis from what
/openapi.json announces. The time (FUZZ_SECONDS, 60) is shared out evenly. Exit 1 on a finding, with the
input that repeats it: python -m benchmarks.fuzz --only NAME --input BASE64.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from benchmarks.fuzz import engine, requests, targets

_SILENT: Final = 50  # CRITICAL, which nothing here logs
_REQUESTS: Final = "requests"
_APP: Final = str(Path(__file__).resolve().parents[2] / "app")


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz; returns the exit code."""
    fuzzed = targets.all_targets()
    names = [*fuzzed, _REQUESTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument(
        "--seconds",
        type=float,
        default=float(os.environ.get("FUZZ_SECONDS") or 60),
        help="for all targets together (FUZZ_SECONDS, 60)",
    )
    parser.add_argument(
        "--only", choices=names, action="append", help="this target; may be repeated"
    )
    parser.add_argument("--seed", type=int, help="repeats a run, as far as its time allows")
    parser.add_argument("--input", metavar="BASE64", help="try this one input of --only, and stop")
    options = parser.parse_args(argv)
    # What is refused is logged, and here nearly everything is.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_SILENT))
    if options.input is not None:
        if options.only is None or options.only[0] == _REQUESTS:
            parser.error("--input needs --only with the name of a parser")
        return _repeat(fuzzed[options.only[0]], base64.b64decode(options.input))
    number = secrets.randbits(32) if options.seed is None else options.seed
    chosen = options.only or names
    share = options.seconds / len(chosen)
    print(f"seed {number}, {share:.0f} s for each of {', '.join(chosen)}")
    found = [_fuzz(name, fuzzed, share, number) for name in chosen]
    return 1 if any(found) else 0


def _fuzz(name: str, fuzzed: dict[str, targets.Fuzzed], seconds: float, number: int) -> bool:
    chance = random.Random(f"{number} {name}")
    if name == _REQUESTS:
        tried, problem = requests.search(seconds, chance)
        print(f"{name:<16}{tried:>9,} tried; {'FOUND' if problem else 'nothing found'}")
        if problem:
            print(f"  {problem}\n  repeat: --only {name} --seed {number}")
        return bool(problem)
    target = fuzzed[name]
    done = engine.search(target.run, target.seeds, targets.WORDS, seconds, chance, _APP)
    told = "nothing found" if done.finding is None else "FOUND"
    print(f"{name:<16}{done.tried:>9,} tried, {done.kept} kept, {done.lines} lines; {told}")
    if done.finding is None:
        return False
    shown = base64.b64encode(done.finding.data).decode()
    print(f"  {done.finding.problem}\n  {done.finding.data[:200]!r}")
    print(f"  repeat: .venv/bin/python -m benchmarks.fuzz --only {name} --input '{shown}'")
    return True


def _repeat(target: targets.Fuzzed, data: bytes) -> int:
    problem = engine.problem_of(target.run, data, time.monotonic)
    print(problem or "nothing found")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
