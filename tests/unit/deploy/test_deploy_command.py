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
from tests.unit.deploy.test_deploy_smoke import Service

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


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps({name: {"value": value} for name, value in VALUES.items()}))
    return file


class Trial:
    """One run of the command against fakes."""

    def __init__(self) -> None:
        self.cloud = FakeCloud()
        self.said = io.StringIO()
        self.bases: list[str] = []
        self.service = Service()

    def asker(self, base: str) -> Ask:
        self.bases.append(base)
        return self.service

    def run(self, *argv: str, **environment: str) -> int:
        clock = Clock()
        return main(
            argv,
            environment,
            connect=lambda: self.cloud,
            asker=self.asker,
            now=clock.now,
            sleep=clock.sleep,
            out=self.said,
        )


def test_the_outputs_of_terraform_describe_the_target(outputs: Path) -> None:
    assert target_of(read_outputs(outputs)) == TARGET


@pytest.mark.parametrize("name", sorted(set(VALUES) - {"base_url", "image_parameter_name"}))
def test_an_output_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(CannotStart, match=name):
        target_of({key: value for key, value in VALUES.items() if key != name})


@pytest.mark.parametrize("text", ["", "[]", '{"cluster_name": "x"}', "nothing"])
def test_a_file_that_terraform_did_not_print_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(text)
    with pytest.raises(CannotStart):
        target_of(read_outputs(file))


def test_a_good_deployment_ends_with_0_and_a_summary(outputs: Path) -> None:
    trial = Trial()
    assert trial.run("--outputs", str(outputs), "--image", str(NEW), "--json") == 0
    *lines, last = trial.said.getvalue().splitlines()
    summary = json.loads(last)
    assert (summary["exit"], summary["image"], summary["problems"]) == (0, str(NEW), [])
    assert all(" s  " in line or "| " in line for line in lines)
    assert trial.bases == ["http://mms.example"]


def test_everything_may_come_from_the_environment(outputs: Path) -> None:
    trial = Trial()
    code = trial.run(
        DEPLOY_OUTPUTS=str(outputs), DEPLOY_IMAGE=str(NEW), DEPLOY_URL="https://api.example"
    )
    assert code == 0
    assert trial.bases == ["https://api.example"]
    trial = Trial()
    assert trial.run(DEPLOY_OUTPUTS=str(outputs), DEPLOY_IMAGE=str(NEW), DEPLOY_MIGRATION="no") == 0
    assert not [call for call in trial.cloud.calls if call.startswith("run")]


def test_a_failing_deployment_ends_with_1(outputs: Path) -> None:
    trial = Trial()
    trial.cloud.exit_code = 2
    assert trial.run("--outputs", str(outputs), "--image", str(NEW), "--json") == 1
    assert json.loads(trial.said.getvalue().splitlines()[-1])["problems"]


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--image", str(NEW)],
        ["--image", "mms:latest", "--outputs", "OUTPUTS"],
        ["--image", str(NEW), "--outputs", "/nowhere/outputs.json"],
    ],
)
def test_what_cannot_start_ends_with_2(outputs: Path, argv: list[str]) -> None:
    trial = Trial()
    assert trial.run(*[str(outputs) if word == "OUTPUTS" else word for word in argv]) == 2
    assert trial.cloud.calls == []
    assert "nothing was tried" in trial.said.getvalue()


def test_without_a_load_balancer_the_url_has_to_be_given(tmp_path: Path) -> None:
    file = tmp_path / "outputs.json"
    values = {**VALUES, "base_url": None}
    file.write_text(json.dumps({name: {"value": value} for name, value in values.items()}))
    trial = Trial()
    assert trial.run("--outputs", str(file), "--image", str(NEW)) == 2
    assert trial.run("--outputs", str(file), "--image", str(NEW), "--no-smoke") == 0
    assert "left out, as asked" in trial.said.getvalue()
    assert trial.service.asked == []


@pytest.mark.parametrize("name", ["elb.amazonaws.com", "elb.amazonaws.com.cn"])
def test_https_under_a_name_of_amazons_is_refused_before_anything_is_tried(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "outputs.json"
    values = {**VALUES, "base_url": f"https://mms-dev-1.us-east-1.{name}"}
    file.write_text(json.dumps({name: {"value": value} for name, value in values.items()}))
    given = ["--outputs", str(file), "--image", str(NEW)]
    trial = Trial()
    assert trial.run(*given) == 2
    assert f"no certificate is for mms-dev-1.us-east-1.{name}" in trial.said.getvalue()
    assert "DEPLOY_URL" in trial.said.getvalue()
    assert (trial.cloud.calls, trial.bases) == ([], [])
    assert trial.run(*given, "--url", "https://mms.example") == 0
    assert trial.run(*given, "--url", f"http://mms-dev-1.us-east-1.{name}") == 0
    assert trial.run(*given, "--no-smoke") == 0


def test_a_plan_changes_nothing(outputs: Path) -> None:
    trial = Trial()
    assert trial.run("--outputs", str(outputs), "--image", str(NEW), "--plan") == 0
    assert trial.cloud.calls == []
    assert trial.service.asked == []


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "someone has to look" in capsys.readouterr().out


def test_without_boto3_it_says_which_command_has_it(outputs: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    assert main(["--outputs", str(outputs), "--image", str(NEW)], {}, out=said) == 2
    assert "make deploy" in said.getvalue()


def test_what_a_log_says_is_no_command_for_whoever_shows_it(outputs: Path) -> None:
    trial = Trial()
    trial.cloud.exit_code = 1
    trial.cloud.lines = ("\x1b[31mred", "::set-output name=x::y", "a\x00b")
    assert trial.run("--outputs", str(outputs), "--image", str(NEW)) == 1
    text = trial.said.getvalue()
    assert "\x1b" not in text
    assert "\x00" not in text
    assert not any(line.startswith("::") for line in text.splitlines())
