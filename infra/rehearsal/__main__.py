"""Rehearse a whole life of the service on AWS, on this machine, before anyone pays for it.

Terraform applies the real stack to a stand-in for AWS (moto) with the dev variables; the deployment
that production uses deploys to it. Tasks really run, as processes, with the environment and secrets
of their task definitions: the migration on a real PostgreSQL over TLS, the API behind a load
balancer, the loaders against the stand-in exchange. Then a migration fails, a version does not
start, a version answers wrongly; and in the end everything is destroyed. It takes about ten
minutes.

exit codes: 0 everything was as expected; 1 something was not; 3 a program is missing, and nothing
was rehearsed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from infra.rehearsal import acts
from infra.rehearsal.stage import ActFailed, Stage, opened
from infra.rehearsal.world import ROOT, MissingHereError
from infra.release.infrastructure import FOLDER

AS_EXPECTED: Final = 0
NOT_SO: Final = 1
NOT_REHEARSED: Final = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Rehearse; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.rehearsal",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="the Python that runs the deployment, from the deployment's own environment",
    )
    options = parser.parse_args(argv)
    # A SIGTERM ends what was started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(NOT_SO))
    try:
        _terraform_works()
        head = _head()
        with (
            tempfile.TemporaryDirectory(prefix="mms-rehearsal-") as folder,
            opened(Path(folder), options.python) as stage,
        ):
            return _play(stage, head)
    except MissingHereError as error:
        sys.stderr.write(f"nothing was rehearsed: {error}\n")
        return NOT_REHEARSED


def _play(stage: Stage, head: str) -> int:
    steps: list[Callable[[], None]] = [
        lambda: acts.apply(stage),
        lambda: acts.first_deployment(stage, head),
        lambda: acts.initial_load(stage),
        lambda: acts.edge(stage),
        lambda: acts.schedules(stage),
        lambda: acts.second_deployment(stage),
        lambda: acts.failing_migration(stage),
        lambda: acts.failing_start(stage),
        lambda: acts.failing_smoke_test(stage),
        lambda: acts.earlier_image(stage),
        lambda: acts.destroy(stage),
    ]
    try:
        for step in steps:
            step()
    except Exception as error:  # noqa: BLE001 - whatever breaks it, it was not as expected
        if not isinstance(error, ActFailed):
            traceback.print_exc(file=sys.stdout)
        stage.say(f"{type(error).__name__}: {error}")
        sys.stdout.write("\nrehearsal: NOT as expected\n")
        return NOT_SO
    sys.stdout.write("\nrehearsal: everything was as expected\n")
    for name, value in stage.figures.items():
        sys.stdout.write(f"  {name:<28} {value}\n")
    return AS_EXPECTED


def _terraform_works() -> None:
    """Raise MissingHereError where neither a registry nor a mirror gives the provider."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                "sh",
                "scripts/terraform.sh",
                f"-chdir={FOLDER}",
                "init",
                "-backend=false",
                "-input=false",
            ],
            cwd=ROOT,
            env={**os.environ, "TF_DATA_DIR": folder},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise MissingHereError(f"Terraform's provider cannot be had: {done.stderr.strip()[-600:]}")


def _head() -> str:
    """The newest migration of today's code."""
    command = [
        str(ROOT / ".venv/bin/python"),
        "-c",
        "from app.db import schema; print(schema.HEAD)",
    ]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingHereError(
            f"the application cannot be asked for its schema: {error}"
        ) from error
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
