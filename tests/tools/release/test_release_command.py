"""The pipeline's steps: what they need, what they run, and how they end.

`make infra-rehearse` plans and applies with Terraform itself, refuses a plan that was put in the
place of the one that was shown, and runs a job again.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.release.__main__ import main
from infra.release.running import CommandFailed, runner
from tests.support.ecs import NEW, Clock
from tests.tools.release.test_release_image import Registry

ENVIRONMENT = {
    "MMS_ENVIRONMENT": "dev",
    "TF_STATE_BUCKET": "mms-state",
    "AWS_REGION": "us-east-1",
    "GITHUB_RUN_ID": "42",
    "TF_VARIABLES": "github_repository=owner/name\n\nsettings={A=1}",
}
SHOWN = hashlib.sha256(b"a plan").hexdigest()
KEPT = "mms-state/mms-dev/plans/42.tfplan"
STATE = {
    "values": {
        "root_module": {
            "resources": [
                {"mode": "managed", "type": "aws_subnet"},
                {"mode": "managed", "type": "aws_subnet"},
                {"mode": "data", "type": "aws_caller_identity"},
            ],
            "child_modules": [{"resources": [{"mode": "managed", "type": "aws_vpc"}]}],
        }
    }
}


class Terraform:
    """Records what Terraform is asked, and answers."""

    def __init__(self, fails: str = "") -> None:
        self.asked: list[list[str]] = []
        self.fails = fails

    def __call__(self, command: Sequence[str], given: str | None) -> str:
        words = list(command)[3:]
        self.asked.append(words)
        assert list(command)[:3] == ["sh", "scripts/terraform.sh", "-chdir=infra/terraform"]
        if words[0] == self.fails:
            raise CommandFailed(f"terraform {words[0]} ended with 1")
        for word in words:
            if word.startswith("-out="):
                Path(word.removeprefix("-out=")).write_bytes(b"a plan")
        if words[0] == "show":
            return json.dumps(STATE) if words[1] == "-json" else "Plan: 3 to add, 0 to change.\n"
        return '{"cluster_name": {"value": "mms-dev"}}' if words[0] == "output" else ""


class Bucket:
    """An S3 that holds files in memory."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def upload_file(self, file: str, bucket: str, key: str) -> None:
        self.files[f"{bucket}/{key}"] = Path(file).read_bytes()

    def download_file(self, bucket: str, key: str, file: str) -> None:
        Path(file).write_bytes(self.files[f"{bucket}/{key}"])

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:
        self.files[f"{Bucket}/{Key}"] = Body

    def get_object(self, Bucket: str, Key: str) -> Any:
        return {"Body": io.BytesIO(self.files[f"{Bucket}/{Key}"])}

    def list_objects_v2(self, Bucket: str, Prefix: str) -> Any:
        found = [name for name in self.files if name.startswith(f"{Bucket}/{Prefix}")]
        return {"Contents": [{"Key": name.partition("/")[2]} for name in found]} if found else {}


def step(name: str, client: Any, run: Any, **environment: str) -> int:
    clock = Clock()
    return main(
        [name],
        {**ENVIRONMENT, **environment},
        client=lambda _name: client,
        run=run,
        now=clock.now,
        sleep=clock.sleep,
    )


def test_the_plan_that_was_shown_is_the_one_that_is_applied(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket, terraform, summary = Bucket(), Terraform(), tmp_path / "summary"
    given = tmp_path / "github"
    files = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(given)}
    assert step("plan", bucket, terraform, **files) == 0
    assert bucket.files == {KEPT: b"a plan"}
    assert "Plan: 3 to add" in summary.read_text()
    assert given.read_text() == f"sha256={SHOWN}\n"
    assert f"PLAN_SHA256={SHOWN}\n" in capsys.readouterr().out
    init, plan, _ = terraform.asked
    assert "-backend-config=key=mms-dev/terraform.tfstate" in init
    assert "-lockfile=readonly" in init
    assert {
        "-var=region=us-east-1",
        "-var-file=dev.tfvars",
        "-var=github_repository=owner/name",
        "-var=settings={A=1}",
    } <= {*plan}
    outputs = tmp_path / "outputs.json"
    applying = Terraform()
    asked = {"PLAN_SHA256": SHOWN, "DEPLOY_OUTPUTS": str(outputs)}
    assert step("apply", bucket, applying, **asked) == 0
    assert [words[0] for words in applying.asked] == ["init", "apply", "output", "show"]
    assert not any(word.startswith("-var") for word in applying.asked[1])
    assert json.loads(outputs.read_text())["cluster_name"]["value"] == "mms-dev"
    assert bucket.files == {KEPT: b"a plan", "mms-state/mms-dev/plans/42.applied": SHOWN.encode()}
    assert "applied: 3 resources of 2 types" in capsys.readouterr().out


def test_a_plan_whose_apply_failed_is_not_taken_for_applied(tmp_path: Path) -> None:
    bucket = Bucket()
    bucket.files[KEPT] = b"a plan"
    asked = {"PLAN_SHA256": SHOWN, "DEPLOY_OUTPUTS": str(tmp_path / "outputs.json")}
    assert step("apply", bucket, Terraform(fails="apply"), **asked) == 1
    assert bucket.files == {KEPT: b"a plan"}


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        ("plan", "MMS_ENVIRONMENT", "staging"),
        ("apply", "PLAN_SHA256", "0" * 63),
        ("image", "DEPLOY_COMMIT", "main"),
        ("scan", "DEPLOY_IMAGE", "mms:latest"),
        ("scan", "SCAN_ALLOWED", "HIGH"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_tried(
    capsys: pytest.CaptureFixture[str], asked: str, name: str, value: str
) -> None:
    terraform = Terraform()
    good = {
        "PLAN_SHA256": SHOWN,
        "DEPLOY_COMMIT": "c" * 40,
        "DEPLOY_REPOSITORY": "r.example/mms",
        "DEPLOY_IMAGE": str(NEW),
    }
    assert step(asked, Bucket(), terraform, **{**good, name: value}) == 2
    assert terraform.asked == []
    assert name in capsys.readouterr().err


def test_an_image_hands_its_digest_to_the_next_step(tmp_path: Path) -> None:
    outputs, given = tmp_path / "outputs.json", tmp_path / "github"
    outputs.write_text('{"ecr_repository_url": {"value": "1.dkr.ecr.example/mms-dev"}}')
    asked = {"DEPLOY_COMMIT": "c" * 40, "DEPLOY_OUTPUTS": str(outputs)}
    assert step("image", Registry(tagged=True), None, **asked, GITHUB_OUTPUT=str(given)) == 0
    assert given.read_text() == f"image=1.dkr.ecr.example/mms-dev@sha256:{'1' * 64}\n"


def test_a_scan_with_findings_ends_with_1_and_allowed_ones_with_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {"CVE-2026-1": "HIGH"}
    assert step("scan", Registry(found), None, DEPLOY_IMAGE=str(NEW)) == 1
    assert "CVE-2026-1" in capsys.readouterr().err
    allowed = {"DEPLOY_IMAGE": str(NEW), "SCAN_ALLOWED": "CVE-2026-1, CVE-2025-2"}
    assert step("scan", Registry(found), None, **allowed) == 0
    # An exemption that exempts nothing any more is named.
    said = capsys.readouterr().out
    assert "CVE-2025-2" in said
    assert "CVE-2026-1" not in said


def test_a_program_that_fails_or_is_missing_says_so(tmp_path: Path) -> None:
    run = runner({"PATH": ""}, tmp_path)
    assert run([sys.executable, "-c", "print(input())"], "given") == "given\n"
    with pytest.raises(CommandFailed, match="ended with 3"):
        run([sys.executable, "-c", "raise SystemExit(3)"], None)
    with pytest.raises(CommandFailed, match="cannot be run"):
        run(["/nowhere/terraform"], None)
