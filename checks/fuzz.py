"""Ask the API for what its description allows, and for what it does not (`make fuzz`).

`python -m checks.fuzz` starts the demo: the real server, and a stand-in for the exchange and the
price source. Schemathesis makes requests from /openapi.json and judges each reply by it. Exit code
0 where every reply passed, 1 where one failed.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import schemathesis
from schemathesis.checks import CheckContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.generation.case import Case
from schemathesis.hooks import HookContext
from schemathesis.openapi.checks import RejectedPositiveData

from app.api.errors import PROBLEM_JSON
from app.commands import output

ROOT: Final = Path(__file__).resolve().parents[1]
CASES: Final = 50_000
MEMBERS: Final = {"type", "title", "status", "detail", "code", "request_id"}

_AT_A_TIME: Final = 500
"""The most requests for one address before the next address has its turn."""
_SHOWN: Final = 20
_FOREVER: Final = 10**6


@dataclass
class Outcome:
    """The requests by phase, how many failures were accepted, and the others as texts."""

    cases: Counter[str] = field(default_factory=Counter)
    accepted: int = 0
    failures: list[str] = field(default_factory=list)


def has_its_reason(
    _context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Keep every failure but four: OpenAPI cannot say how one parameter depends on another.

    A period that ends before it begins, a threshold for the robust method, what belongs to CSV with
    another format, and a span of time with too many buckets of an interval.
    """
    if not isinstance(failure, RejectedPositiveData):
        return True
    code = response.json()["code"]
    query: Mapping[str, Any] = case.query or {}
    robust = query.get("method") == "robust" and "threshold" in query
    sheet = query.get("format", "json") != "csv" and query.keys() & {"time", "locale"}
    span = re.fullmatch("[0-9]+[hd]|all", str(query.get("range")))
    dependent = code == "invalid-parameter" and (robust or sheet or span)
    return not (code == "reversed-period" or dependent)


@schemathesis.check
def every_reply_is_ours(_context: CheckContext, response: Response, _case: Case[Any]) -> None:
    """Each reply has an id and forbids sniffing; each error is a whole problem."""
    (request_id,) = response.headers["x-request-id"]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", request_id), request_id
    assert response.headers["x-content-type-options"] == ["nosniff"]
    if response.status_code >= 400:
        assert response.headers["content-type"] == [PROBLEM_JSON]
        problem = response.json()
        assert problem.keys() == MEMBERS
        assert problem["status"] == response.status_code
        assert problem["request_id"] == request_id


def run(url: str, cases: int, seed: int, advance: output.Advance) -> Outcome:
    """Send at least `cases` generated requests to the API at `url`, and judge each reply.

    No reply may be a 5xx. What the schema allows gets a 2xx, anything else 400, 404, 405 or 422.
    """
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "max-time": _FOREVER,  # with a limit of time the engine goes on with new examples
            "cache": {"enabled": False},
            "generation": {"max-examples": min(cases // 20, _AT_A_TIME), "database": "none"},
            "phases": {"coverage": {"generate-duplicate-query-parameters": True}},
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["2xx"]},
                "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "422"]},
            },
        }
    )
    # All but the stream, a reply that never ends.
    whole = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
    schema = whole.exclude(path="/stream")
    schema.hooks.hook("filter_failure")(has_its_reason)
    outcome = Outcome()
    stream = from_schema(schema).execute()
    for event in stream:
        if isinstance(event, events.ScenarioFinished):
            _count(outcome, event.phase.value, event.recorder)
            advance("requests", len(event.recorder.interactions))
            if outcome.cases.total() >= cases:
                stream.stop()
        elif isinstance(event, events.NonFatalError):
            outcome.failures.append(f"{event.label}: {event.value}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return outcome


def _count(outcome: Outcome, phase: str, recorder: ScenarioRecorder) -> None:
    outcome.cases[phase] += len(recorder.interactions)
    outcome.accepted += sum(recorder.filtered_failures.values())
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status in (Status.FAILURE, Status.ERROR):
                outcome.failures.append(_told(check.name, recorder, case_id, check.failure_info))


def _told(name: str, recorder: ScenarioRecorder, case_id: str, info: Any) -> str:
    """One failure: the check, the request, the reply, and what is wrong."""
    interaction = recorder.interactions[case_id]
    request, reply = interaction.request, interaction.response
    got = "no reply" if reply is None else f"{reply.status_code} {reply.content[:300]!r}"
    why = "the check crashed" if info is None else info.failure.message
    return f"{name}: {request.method} {request.uri}\n  got {got}\n  {why}"


@contextmanager
def demo(folder: Path, **settings: str) -> Iterator[str]:
    """The demo on a free port, with its data in `folder`; yields its address."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    fixed = {
        "PYTHONPATH": str(ROOT),
        "PORT": "0",
        "INTERVALS": "1d,1h",
        "HISTORY_DAYS": "60",
        "ACCESS_LOG": "off",
        "RATE_LIMIT": "off",
        "RATE_LIMIT_COLLECT": "off",
    }
    with (folder / "demo.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "app.processes.demo"],
            cwd=folder,
            env={**kept, **fixed, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    with child:
        assert child.stdout is not None
        try:
            address = next(filter(None, map(_address, child.stdout)), None)
            if address is None:
                raise SystemExit(f"The demo did not start:\n{(folder / 'demo.log').read_text()}")
            yield address
        finally:
            child.terminate()
            child.stdout.read()


def _address(line: str) -> str | None:
    match = re.match(r" +(http://\S+)/docs\s", line)
    return match[1] if match else None


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, say how many requests there were, and name what failed."""
    parser = argparse.ArgumentParser(prog="python -m checks.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help=f"requests (default: {CASES:,})")
    parser.add_argument("--seed", type=int, help="repeats a run (default: another one each time)")
    options = parser.parse_args(argv)
    seed = random.getrandbits(32) if options.seed is None else options.seed
    os.environ["NO_PROXY"] = "127.0.0.1"
    with (
        tempfile.TemporaryDirectory(prefix="fuzz-") as folder,
        demo(Path(folder)) as url,
        output.progress({"requests": options.cases}) as advance,
    ):
        outcome = run(url, options.cases, seed, advance)
    for failure in outcome.failures[:_SHOWN]:
        output.line(failure)
    phases = ", ".join(f"{count:,} {phase}" for phase, count in outcome.cases.items())
    output.line(
        f"{outcome.cases.total():,} requests ({phases}), {len(outcome.failures)} failures; "
        f"{outcome.accepted:,} refusals accepted by their code; seed {seed}."
    )
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
