"""Deploy an image to ECS: migrate the database, move the services, test them, or go back.

What is deployed to is read from Terraform's outputs; credentials, region and endpoint come from
the environment as for every AWS tool (AWS_ROLE_ARN, AWS_REGION, AWS_ENDPOINT_URL, …). Where reads
need a key (READ_ACCESS=key), the smoke test sends the one in DEPLOY_KEY.

exit codes:
  0  deployed: the new version serves, and schedules run it from now on
  1  failed; nothing changed, or all was rolled back, but for a finished migration
  2  could not start: nothing was tried
  3  failed, and the way back failed too or was cut short: someone has to look
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final, TextIO
from urllib.parse import urlsplit

from infra.deploy import aws, smoke
from infra.deploy.errors import CannotStart, Interrupted
from infra.deploy.model import Cloud, Image, Pace
from infra.deploy.outputs import read_outputs, target_of
from infra.deploy.report import Report
from infra.deploy.steps import DEPLOYED, NOT_STARTED, deploy, prepare, show

_AMAZONS: Final = re.compile(r"\.elb\.amazonaws\.com(\.cn)?$")
"""The names that AWS gives load balancers itself."""


def main(
    argv: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    connect: Callable[[], Cloud] = aws.connect,
    asker: Callable[[str, str], smoke.Ask] = smoke.asker,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    out: TextIO | None = None,
) -> int:
    """Deploy as the command line says; returns the exit code."""
    options = _parser(environment).parse_args(argv)
    report = Report(out or sys.stdout, now)
    pace = Pace(now, sleep, options.every, options.migration_seconds, options.stable_seconds)
    try:
        if options.outputs is None or options.image is None:
            raise CannotStart("say what to deploy where: --outputs FILE --image NAME@sha256:…")
        image = Image.parse(options.image)
        outputs = read_outputs(options.outputs)
        target = target_of(outputs)
        key = environment.get("DEPLOY_KEY", "").strip()
        ask = None if options.no_smoke else asker(_url(options.url, outputs), key)
        cloud = connect()
        plan = prepare(cloud, target, image, report)
    except CannotStart as error:
        report.problem(str(error))
        report.step("failed", "not deployed: nothing was tried")
        _summary(options, report, NOT_STARTED)
        return NOT_STARTED
    if options.plan:
        show(plan, target, report, migrate=not options.no_migration)
        _summary(options, report, DEPLOYED)
        return DEPLOYED

    def check() -> None:
        if ask is None:
            report.step("smoke", "left out, as asked")
        else:
            smoke.check_service(ask, pace, lambda line: report.step("smoke", line))

    code = deploy(cloud, target, plan, check, report, pace, migrate=not options.no_migration)
    _summary(options, report, code)
    return code


def _url(given: str | None, outputs: Mapping[str, Any]) -> str:
    url = given or outputs.get("base_url")
    if not url:
        raise CannotStart("there is no load balancer to ask: give --url, or --no-smoke")
    parts = urlsplit(str(url))
    if parts.scheme == "https" and _AMAZONS.search(parts.hostname or ""):
        raise CannotStart(
            f"no certificate is for {parts.hostname}: point the certificate's own name at it, "
            "and give that by --url https://… (DEPLOY_URL)"
        )
    return str(url)


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m infra.deploy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    given = environment.get
    parser.add_argument(
        "--outputs",
        type=Path,
        metavar="FILE",
        default=Path(path) if (path := given("DEPLOY_OUTPUTS")) else None,
        help="what `terraform output -json` printed (DEPLOY_OUTPUTS)",
    )
    parser.add_argument(
        "--image",
        metavar="NAME@sha256:…",
        default=given("DEPLOY_IMAGE") or None,
        help="the image, by digest (DEPLOY_IMAGE)",
    )
    parser.add_argument(
        "--url",
        default=given("DEPLOY_URL") or None,
        help="where the smoke test asks, by default Terraform's base_url (DEPLOY_URL)",
    )
    parser.add_argument("--plan", action="store_true", help="say what would be done, and stop")
    parser.add_argument(
        "--no-migration",
        action="store_true",
        default=given("DEPLOY_MIGRATION") == "no",
        help="to go back to an earlier image, which knows fewer migrations (DEPLOY_MIGRATION=no)",
    )
    parser.add_argument("--no-smoke", action="store_true", help="do not ask the service over HTTP")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--every", type=_seconds, default=5.0, help="seconds between looks (5)")
    parser.add_argument(
        "--migration-seconds",
        type=_seconds,
        default=900.0,
        help="patience with the migration (900)",
    )
    parser.add_argument(
        "--stable-seconds", type=_seconds, default=1200.0, help="patience with the services (1200)"
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86_400:
        raise argparse.ArgumentTypeError("use a number of seconds, more than 0 and at most 86400")
    return value


def _summary(options: argparse.Namespace, report: Report, code: int) -> None:
    if options.json:
        report.out.write(report.summary(str(options.image), code) + "\n")


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # Once is enough: the way back must not be cut short by the same impatience.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    sys.exit(main())
