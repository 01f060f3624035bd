"""The pipeline's steps before a deployment, each of which can be run at home as well.

  plan     Terraform's plan of an environment, shown and kept under this run's number
  apply    the very plan that was shown, once, and Terraform's outputs for the deployment
  image    build and push the image of this commit with SBOM and provenance; prints its digest
  scan     wait for the registry's scan; fails on findings that are high or critical

What they need is in the environment, so that a workflow's step is one make target:
  MMS_ENVIRONMENT          dev or prod
  TF_STATE_BUCKET          bucket of the state (plan, apply)
  TF_VARIABLES             further variables for the plan, one NAME=VALUE a line
  PLAN_SHA256              the plan that was shown, as plan printed it (apply)
  DEPLOY_OUTPUTS           where apply writes Terraform's outputs (outputs.json)
  DEPLOY_REPOSITORY        ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME; else the outputs' (image)
  DEPLOY_COMMIT            the commit that is built, 40 hexadecimal digits (image)
  DEPLOY_IMAGE             NAME@sha256:… (scan)
  IMAGE_BASE               the base image by digest; else what the Dockerfile's tag names (image)
  SCAN_ALLOWED             findings to put up with, by name, such as CVE-2026-1234 (scan)
  AWS_REGION, AWS_ROLE_ARN and everything else that AWS's tools read

exit codes: 0 done, 1 failed (for scan: findings), 2 could not start.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from app import __version__
from infra.release import image, infrastructure
from infra.release.running import CommandFailed, Run, runner

DONE: Final = 0
FAILED: Final = 1
NOT_STARTED: Final = 2

ROOT: Final = Path(__file__).resolve().parents[2]


class NotStarted(Exception):
    """Something in the environment is missing or wrong; the text says which."""


def main(
    argv: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    client: Callable[[str], Any] | None = None,
    run: Run | None = None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Do one step; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.release",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", choices=["plan", "apply", "image", "scan"])
    step = parser.parse_args(argv).step
    try:
        connect = client or _connect()
        failures = _failures()
        work = run or runner(environment, ROOT)
        if step == "plan":
            place = _place(environment)
        elif step == "apply":
            place = _place(environment)
            meant = "what make infra-plan printed"
            shown = _needed(environment, "PLAN_SHA256", "[0-9a-f]{64}", meant)
        elif step == "image":
            source = _source(environment)
        else:
            name, digest, allowed = _scanned(environment)
    except NotStarted as error:
        sys.stderr.write(f"{step}: {error}\n")
        return NOT_STARTED
    try:
        if step == "plan":
            _plan(place, work, connect("s3"), environment)
        elif step == "apply":
            outputs = Path(environment.get("DEPLOY_OUTPUTS") or "outputs.json")
            _apply(place, work, connect("s3"), shown, outputs)
        elif step == "image":
            _image(source, work, connect("ecr"), environment)
        else:
            scan = image.scan(connect("ecr"), name, digest, allowed, now, sleep)
            _say(f"scanned {digest}: {dict(scan.counts) or 'no findings'}")
            for each in sorted(allowed - scan.allowed):
                _say(f"SCAN_ALLOWED names {each}, which is not found any more: take it out")
    except image.OtherTree as error:
        sys.stderr.write(f"{step}: {error}\n")
        return NOT_STARTED
    except failures as error:
        sys.stderr.write(f"{step}: {error}\n")
        return FAILED
    return DONE


def _plan(place: infrastructure.Place, run: Run, s3: Any, environment: Mapping[str, str]) -> None:
    variables = [each for each in environment.get("TF_VARIABLES", "").splitlines() if each.strip()]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plan"
        text, digest = infrastructure.make_plan(place, run, s3, file, variables)
    _say(text)
    _say(f"PLAN_SHA256={digest}")
    _append(environment.get("GITHUB_OUTPUT"), f"sha256={digest}\n")
    line = infrastructure.summary_of(text)
    # Terraform masks what it knows to be sensitive; this text is what the approver reads.
    fence = "`" * 4
    heading = f"## Plan for {place.environment}\n\n{line}\n\n"
    _append(
        environment.get("GITHUB_STEP_SUMMARY"), f"{heading}{fence}\n{text[-900_000:]}\n{fence}\n"
    )


def _apply(place: infrastructure.Place, run: Run, s3: Any, shown: str, outputs: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        now = infrastructure.apply_plan(place, run, s3, Path(folder) / "plan", shown)
    resources = infrastructure.write_outputs(place, run, outputs)
    done = "applied" if now else "applied before, in this run"
    _say(f"{done}: {sum(resources.values())} resources of {len(resources)} types")


def _image(source: image.Source, run: Run, ecr: Any, environment: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        digest = image.publish(source, run, ecr, Path(folder) / "metadata.json", _say)
    _append(environment.get("GITHUB_OUTPUT"), f"image={source.repository}@{digest}\n")


def _place(environment: Mapping[str, str]) -> infrastructure.Place:
    chosen = _needed(environment, "MMS_ENVIRONMENT", "dev|prod", "dev or prod")
    bucket = _needed(environment, "TF_STATE_BUCKET", r"[a-z0-9][a-z0-9.-]{2,62}", "a bucket's name")
    region = _needed(environment, "AWS_REGION", r"[a-z]{2}(-[a-z]+)+-\d", "written like us-east-1")
    number = environment.get("GITHUB_RUN_ID") or "local"
    return infrastructure.Place(chosen, bucket, region, number)


def _source(environment: Mapping[str, str]) -> image.Source:
    form = r"[a-z0-9.:-]+/[a-z0-9._/-]+"
    named = {"DEPLOY_REPOSITORY": environment.get("DEPLOY_REPOSITORY") or _repository(environment)}
    repository = _needed(named, "DEPLOY_REPOSITORY", form, "REGISTRY/NAME")
    commit = _needed(environment, "DEPLOY_COMMIT", "[0-9a-f]{40}", "a whole commit's name")
    base = environment.get("IMAGE_BASE")
    if not base:
        base = image.wanted_base((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    elif not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", base):
        raise NotStarted(f"IMAGE_BASE={base!r}: it has to be NAME@sha256:…, or nothing")
    return image.Source(repository, commit, __version__, base)


def _repository(environment: Mapping[str, str]) -> str:
    """The repository that Terraform made, empty where its outputs are not there."""
    file = Path(environment.get("DEPLOY_OUTPUTS") or "outputs.json")
    try:
        printed = json.loads(file.read_text(encoding="utf-8"))
        return str(printed["ecr_repository_url"]["value"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _scanned(environment: Mapping[str, str]) -> tuple[str, str, set[str]]:
    form = r"[a-z0-9.:-]+/[a-z0-9._/-]+@sha256:[0-9a-f]{64}"
    full = _needed(environment, "DEPLOY_IMAGE", form, "REGISTRY/NAME@sha256:…")
    allowed = set(environment.get("SCAN_ALLOWED", "").replace(",", " ").split())
    for item in sorted(allowed):
        if not re.fullmatch(r"[A-Za-z]+-[A-Za-z0-9.-]+", item):
            raise NotStarted(f"SCAN_ALLOWED={item!r}: name the findings, such as CVE-2026-1234")
    repository, _, digest = full.partition("@")
    return repository.partition("/")[2], digest, allowed


def _needed(environment: Mapping[str, str], name: str, form: str, meant: str) -> str:
    value = environment.get(name, "")
    if not re.fullmatch(form, value):
        raise NotStarted(f"{name}={value!r}: it has to be {meant}")
    return value


def _connect() -> Callable[[str], Any]:
    try:
        import boto3  # noqa: PLC0415 - it is installed in the deployment's own environment only
    except ImportError as error:
        raise NotStarted("boto3 is not installed here: use the make targets") from error
    connect: Callable[[str], Any] = boto3.client
    return connect


def _failures() -> tuple[type[Exception], ...]:
    ours = (CommandFailed, image.ScanFailed, infrastructure.PlanReplaced)
    try:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above
    except ImportError:
        return ours
    return (*ours, BotoCoreError, ClientError)


def _append(file: str | None, text: str) -> None:
    if file:
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(text)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
