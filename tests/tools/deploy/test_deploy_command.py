"""The deployment as a command: what it reads, what it says, and its exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from infra.deploy.__main__ import main
from infra.deploy.errors import CannotStart
from infra.deploy.outputs import read_outputs, target_of
from infra.deploy.smoke import Ask
from tests.support.ecs import FAMILIES, NEW, TARGET, Clock, FakeCloud
from tests.tools.deploy.test_deploy_smoke import Service

VALUES: dict[str, Any] = {
    "cluster_name": "mms-dev",
    "service_names": {"api": "api", "collector": "collector"},
    "task_families": {name: f"mms-dev-{name}" for name in FAMILIES},
    "private_subnet_ids": ["subnet-1"],
    "security_group_ids": dict.fromkeys(FAMILIES, "sg-other") | {"migrate": "sg-migrate"},
    "schedule_names": {"incremental": "mms-dev-incremental", "monitor": "mms-dev-monitor"},
    "image_parameter_name": "/mms-dev/image",
    "base_url": "http://mms.example",
}


class Trial:
    """Runs of the command against fakes, with what Terraform would have printed."""

    def __init__(self, folder: Path, **values: Any) -> None:
        self.cloud = FakeCloud()
        self.said = io.StringIO()
        self.bases: list[str] = []
        self.service = Service()
        self.outputs = folder / "outputs.json"
        named = {name: {"value": value} for name, value in (VALUES | values).items()}
        self.outputs.write_text(json.dumps(named))

    def asker(self, base: str, _key: str) -> Ask:
        self.bases.append(base)
        return self.service

    def run(self, *argv: str, **environment: str) -> int:
        clock = Clock()
        given = {"DEPLOY_OUTPUTS": str(self.outputs), "DEPLOY_IMAGE": str(NEW)}
        return main(
            argv,
            given | environment,
            connect=lambda: self.cloud,
            asker=self.asker,
            now=clock.now,
            sleep=clock.sleep,
            out=self.said,
        )


def test_the_outputs_of_terraform_describe_the_target(tmp_path: Path) -> None:
    assert target_of(read_outputs(Trial(tmp_path).outputs)) == TARGET
    for name in set(VALUES) - {"base_url", "image_parameter_name"}:
        with pytest.raises(CannotStart, match=name):
            target_of({key: value for key, value in VALUES.items() if key != name})


def test_a_good_deployment_ends_with_0_and_a_summary(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    assert trial.run("--json") == 0
    summary = json.loads(trial.said.getvalue().splitlines()[-1])
    assert (summary["exit"], summary["image"], summary["problems"]) == (0, str(NEW), [])
    assert trial.bases == ["http://mms.example"]


def test_the_environment_may_name_another_address_and_leave_the_migration_out(
    tmp_path: Path,
) -> None:
    trial = Trial(tmp_path)
    assert trial.run(DEPLOY_URL="https://api.example", DEPLOY_MIGRATION="no") == 0
    assert trial.bases == ["https://api.example"]
    assert not [call for call in trial.cloud.calls if call.startswith("run")]


def test_a_failing_deployment_ends_with_1_and_what_a_log_says_is_no_command(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    trial.cloud.exit_code = 1
    trial.cloud.lines = ("\x1b[31mred", "::set-output name=x::y", "a\x00b")
    assert trial.run("--json") == 1
    text = trial.said.getvalue()
    assert json.loads(text.splitlines()[-1])["problems"]
    assert "\x1b" not in text
    assert "\x00" not in text
    assert not any(line.startswith("::") for line in text.splitlines())


@pytest.mark.parametrize(
    ("argv", "text"),
    [(["--image", "mms:latest"], None), ([], ""), ([], '{"cluster_name": "x"}')],
)
def test_what_cannot_start_ends_with_2(tmp_path: Path, argv: list[str], text: str | None) -> None:
    trial = Trial(tmp_path)
    if text is not None:
        trial.outputs.write_text(text)
    assert trial.run(*argv) == 2
    assert trial.cloud.calls == []
    assert "nothing was tried" in trial.said.getvalue()


@pytest.mark.parametrize("name", ["elb.amazonaws.com", "elb.amazonaws.com.cn"])
def test_https_under_a_name_of_amazons_is_refused_before_anything_is_tried(
    tmp_path: Path, name: str
) -> None:
    trial = Trial(tmp_path, base_url=f"https://mms-dev-1.us-east-1.{name}")
    assert trial.run() == 2
    assert "DEPLOY_URL" in trial.said.getvalue()
    assert (trial.cloud.calls, trial.bases) == ([], [])
    assert trial.run("--url", f"http://mms-dev-1.us-east-1.{name}") == 0
