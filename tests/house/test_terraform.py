"""The Terraform of infra/terraform agrees with image, settings, documents and itself."""

from __future__ import annotations

import math
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from app.api.streams import HEARTBEAT
from app.core.settings import Settings
from app.serve import KEEP_ALIVE
from infra.release.image import PLATFORM
from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]
STACK = ROOT / "infra" / "terraform"
FILES = sorted(STACK.rglob("*.tf"))
TASKS = (STACK / "tasks.tf").read_text()
DOCUMENT = (ROOT / "docs" / "deploying-aws.md").read_text()
SETTINGS = {name.upper() for name in Settings.model_fields}
OF_LIBPQ = {"PGPASSWORD"}


def blocks(kind: str, text: str) -> dict[str, str]:
    """The blocks `kind "name" {…}` of a formatted file, by name."""
    found = re.findall(rf'(?ms)^{kind} "(\w+)" \{{\n(.*?)^\}}', text)
    return dict(found)


VARIABLES = {
    name: body
    for file in sorted(STACK.glob("variables*.tf"))
    for name, body in blocks("variable", file.read_text()).items()
}
OUTPUTS = blocks("output", (STACK / "outputs.tf").read_text())


def test_every_variable_refuses_what_it_cannot_use_and_each_refusal_is_tried() -> None:
    anything_goes = {"tags"}
    refusing = {name for name, body in VARIABLES.items() if "validation {" in body}
    yes_or_no = {name for name, body in VARIABLES.items() if re.search(r"type += bool", body)}
    assert set(VARIABLES) - refusing - yes_or_no == anything_goes
    refused = (STACK / "tests/refused.tftest.hcl").read_text()
    assert set(re.findall(r"(?m)^    var\.(\w+),$", refused)) == refusing


def test_every_variable_and_output_is_in_the_document_and_no_other() -> None:
    for heading, known in (("Variables", VARIABLES), ("Outputs", OUTPUTS)):
        part = re.split(r"(?m)^##+ ", DOCUMENT.partition(f"## {heading}\n")[2])[0]
        rows = re.findall(r"(?m)^\| ([^|]*) \|", part)
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        assert named == set(known), heading


def test_every_setting_of_a_task_is_one_of_the_application() -> None:
    environment = TASKS.partition("environment = {")[2].partition("resource ")[0]
    named = set(re.findall(r"\b([A-Z][A-Z_]+) += ", environment))
    assert {"ENV", "DB_URL", "CACHE_URL", "HOST", "PORT", "LOG_FORMAT", "PGPASSWORD"} <= named
    assert named <= SETTINGS | OF_LIBPQ
    for file in STACK.rglob("*.tfvars"):
        text = file.read_text()
        assert set(re.findall(r"\b([A-Z][A-Z_]+) += ", text)) <= SETTINGS, file.name


def test_every_task_starts_an_entry_point_of_the_image() -> None:
    commands = re.findall(r'(?m)^      command = \["([\w-]+)"', TASKS)
    entry_points = re.findall(
        r"(?m)^    ([\w-]+)\) module=", (ROOT / "infra/image/entrypoint.sh").read_text()
    )
    # A reload is started by hand, as a task of the incremental loader with another command. Keys
    # are made by whoever hands them out.
    assert sorted([*commands, "keys", "reload"]) == sorted(entry_points)


def test_whoever_is_in_front_of_the_api_closes_an_idle_connection_first() -> None:
    (seconds,) = re.findall(r"idle_timeout += (\d+)", (STACK / "load_balancer.tf").read_text())
    nginx = (ROOT / "infra/nginx/mms-api.conf.template").read_text()
    (upstream,) = re.findall(r"(?m)^    keepalive_timeout (\d+)s;", nginx)
    assert int(upstream) < int(seconds) < KEEP_ALIVE
    assert f"idle for {KEEP_ALIVE} s" in nginx
    # A stream that lacks one heartbeat is not cut yet.
    assert int(seconds) > 2 * HEARTBEAT


def test_the_container_runs_as_the_image_was_built() -> None:
    """Its user, its health check, its port, its processor."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    (user,) = re.findall(r"(?m)^USER (.*)$", dockerfile)
    assert f'user                   = "{user}"' in TASKS
    (check,) = re.findall(r"CMD (\[.*healthcheck.*\])", dockerfile)
    assert f'["CMD", {check[1:]}' in TASKS
    (port,) = re.findall(r"(?m)^  api_port = (\d+)$", TASKS)
    assert f"EXPOSE {port}" in dockerfile
    (processor,) = re.findall(r'(?m)^    cpu_architecture += "(\w+)"', TASKS)
    assert {"X86_64": "linux/amd64"}[processor] == PLATFORM


def test_the_deploy_role_may_do_what_the_programs_call_and_nothing_else() -> None:
    program = (ROOT / "infra/deploy/aws.py").read_text()
    called = set(re.findall(r'self\._call\(\s*self\.(\w+),\s*"(\w+)"', program))
    release = (ROOT / "infra/release/image.py").read_text()
    called |= {("ecr", name) for name in re.findall(r"\becr\.(\w+)\(", release)}
    actions = {
        f"{service}:{''.join(word.title() for word in name.split('_'))}" for service, name in called
    }
    of_nobody = {"sts:GetCallerIdentity"}  # everyone may ask who they are
    by_others = {
        # what `docker push` asks of the registry, and what registering a revision needs besides
        "ecr:BatchCheckLayerAvailability",
        "ecr:CompleteLayerUpload",
        "ecr:GetDownloadUrlForLayer",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
        "ecs:TagResource",
        "iam:PassRole",
    }
    text = (STACK / "iam_deploy.tf").read_text()
    allowed = set(re.findall(r'"((?:ecr|ecs|iam|logs|ssm):[A-Z]\w+)"(?! +=)', text))
    assert allowed == (actions - of_nobody) | by_others


def test_every_alarm_is_in_the_operating_instructions() -> None:
    text = (STACK / "alarms.tf").read_text()
    alarms = set(re.findall(r"(?m)^    ([a-z0-9-]+) = \{$", text))
    assert alarms
    part = DOCUMENT.partition("## When an alarm rings\n")[2]
    rows = re.findall(r"(?m)^\| ([^|]*) \|", re.split(r"(?m)^## ", part)[0])
    assert {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)} == alarms


# The script that finds the provider, tried with stand-ins of a few lines for the programs.


def terraform_sh(
    folder: Path, script: str | None, *arguments: str, **given: str
) -> subprocess.CompletedProcess[str]:
    """Run scripts/terraform.sh with `script` as terraform; None for none at all."""
    if os.name != "posix" or shutil.which("sh") is None:
        absent("sh", "there is no POSIX shell")
    bin_folder = folder / "bin"
    bin_folder.mkdir(parents=True)
    for name in ("sh", "cat", "rm", "mktemp", "grep", "find", "head", "dirname"):
        (bin_folder / name).symlink_to(shutil.which(name) or name)
    if script is not None:
        program = bin_folder / "terraform"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return subprocess.run(
        ["sh", str(ROOT / "scripts" / "terraform.sh"), *arguments],
        env={"PATH": str(bin_folder), "HOME": str(folder), **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


UNREACHABLE = 'case ${TF_CLI_CONFIG_FILE:-} in "") echo "could not connect to x" >&2; exit 1;; *) cat "$TF_CLI_CONFIG_FILE";; esac'


def test_without_terraform_or_its_provider_nothing_was_checked(tmp_path: Path) -> None:
    assert terraform_sh(tmp_path / "a", None, "init").returncode == 3
    mirror = str(tmp_path)  # an empty one
    done = terraform_sh(tmp_path / "b", UNREACHABLE, "init", TF_PROVIDER_MIRROR=mirror)
    assert done.returncode == 3
    assert "nothing was checked" in done.stderr


def test_an_error_of_the_configuration_is_no_missing_registry(tmp_path: Path) -> None:
    done = terraform_sh(tmp_path, 'echo "$@: Missing newline" >&2; exit 7', "-chdir=x", "init")
    assert (done.returncode, done.stderr) == (7, "-chdir=x init: Missing newline\n")


@pytest.mark.parametrize("named", [True, False])
def test_a_mirror_that_is_named_or_found_stands_in_for_the_registry(
    tmp_path: Path, named: bool
) -> None:
    mirror = tmp_path / ".terraform.d" / "plugins"
    (mirror / "host" / "hashicorp" / "aws").mkdir(parents=True)
    given = {"TF_PROVIDER_MIRROR": str(mirror)} if named else {}
    done = terraform_sh(tmp_path, UNREACHABLE, "init", **given)
    assert done.returncode == 0
    assert f'path = "{mirror}"' in done.stdout


def amount(expression: str) -> float:
    """The value of a sum of products, such as `2 × 730 h × 0.016 + 1 GB × 0.5`."""
    products = re.sub(r"[A-Za-z]", "", expression).split("+")
    return sum(math.prod(float(factor) for factor in each.split("×")) for each in products)


def test_the_costs_are_what_their_arithmetic_says_and_the_budgets_lie_above_them() -> None:
    part = re.split(r"(?m)^## ", DOCUMENT.partition("## Costs\n")[2])[0]
    rows = re.findall(r"(?m)^\| [^|]* \| ([\d].*?) \| ([\d.]+) \| ([\d].*?) \| ([\d.]+) \|$", part)
    assert rows
    for dev, dev_usd, prod, prod_usd in rows:
        assert amount(dev) == pytest.approx(float(dev_usd), abs=0.006), dev
        assert amount(prod) == pytest.approx(float(prod_usd), abs=0.006), prod
    totals = [sum(float(row[column]) for row in rows) for column in (1, 3)]
    stated = re.findall(r"\*\*([\d.]+)\*\*", part.partition("**total**")[2])
    assert [f"{each:.2f}" for each in totals] == stated
    for name, total in zip(("dev", "prod"), totals, strict=True):
        text = (STACK / f"{name}.tfvars").read_text()
        (budget,) = re.findall(r"monthly_budget_usd += (\d+)", text)
        assert total <= float(budget) <= 1.5 * total
