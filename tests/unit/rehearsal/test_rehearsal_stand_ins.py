"""The stand-ins of the rehearsal do what the things do that they stand in for."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.rehearsal.balancer import Balancer
from infra.rehearsal.fargate import Fargate
from infra.rehearsal.services import ServiceRunner
from infra.rehearsal.world import World
from tests.support.answering import answering
from tests.support.patience import until

ENTRY = '#!/bin/sh\ncase $1 in\n  fail) echo no; exit 3 ;;\n  say) echo "$GREETING" ;;\n'
ENTRY += "  stay) trap 'exit 0' TERM; while :; do sleep 0.05; done ;;\nesac\n"


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as reply:
        text: str = reply.read().decode()
        return text


def test_the_load_balancer_lets_go_of_a_target_once_its_last_reply_has_left() -> None:
    balancer, may = Balancer(), threading.Event()
    replies: list[str] = []

    def slowly(_path: str) -> tuple[int, dict[str, str], bytes]:
        assert may.wait(60)
        return 200, {}, b"slow"

    try:
        with answering(slowly) as slow, answering(lambda _path: (200, {}, b"other")) as other:
            balancer.register(slow)
            asking = threading.Thread(target=lambda: replies.append(ask(balancer.url)))
            asking.start()
            until(lambda: balancer.open(slow) == 1)
            balancer.register(other)
            balancer.deregister(slow, 0.1)
            assert replies == []  # it waited no longer than it was told to
            letting_go = threading.Thread(target=balancer.deregister, args=[slow, 60.0])
            letting_go.start()
            assert ask(balancer.url) == "other"  # nobody else waits
            assert letting_go.is_alive()
            may.set()
            letting_go.join(60)
            asking.join(60)
            assert replies == ["slow"]
            balancer.deregister(other, 5)
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(balancer.url)
            assert refused.value.code == 503
            refused.value.close()
    finally:
        balancer.close()


class Secrets:
    """Secrets Manager with one secret."""

    exceptions = SimpleNamespace(ClientError=KeyError)

    def get_secret_value(self, *, SecretId: str) -> dict[str, str]:
        return {"SecretString": {"arn:password": "hush"}[SecretId]}


class Logs:
    """CloudWatch Logs that keeps lines by stream."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}

    def create_log_stream(self, *, logGroupName: str, logStreamName: str) -> None:
        self.lines[f"{logGroupName} {logStreamName}"] = []

    def put_log_events(self, *, logGroupName: str, logStreamName: str, logEvents: Any) -> None:
        kept = self.lines[f"{logGroupName} {logStreamName}"]
        kept += [event["message"] for event in logEvents]


def container(*command: str, image: str = "r/mms@sha256:1", **environment: str) -> dict[str, Any]:
    options = {"awslogs-group": "/ecs/x", "awslogs-stream-prefix": "task"}
    return {
        "name": "x",
        "image": image,
        "command": list(command),
        "stopTimeout": 5,
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "logConfiguration": {"options": options},
    }


class Ecs:
    """moto's ECS as far as Fargate asks it; `make` gives records as its RunTask does."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self.made = 0

    def describe_task_definition(self, name: str) -> Any:
        return SimpleNamespace(container_definitions=[self.definitions[name]])

    def make(self, name: str) -> Any:
        self.made += 1
        inner = SimpleNamespace(exitCode=0, last_status="PENDING")
        return SimpleNamespace(
            id=f"task-{self.made}",
            task_definition_arn=name,
            last_status="RUNNING",
            desired_status="RUNNING",
            stopped_reason="",
            containers=[inner],
            overrides={},
            attachments=[],
        )


@pytest.fixture
def world() -> World:
    return World(Secrets(), Logs(), {"db.far.example:5432": "127.0.0.1:1"})


@pytest.fixture
def cloud(tmp_path: Path, world: World) -> tuple[Ecs, Fargate]:
    entry = tmp_path / "infra" / "image" / "entrypoint.sh"
    entry.parent.mkdir(parents=True)
    entry.write_text(ENTRY)
    entry.chmod(0o755)
    ecs = Ecs()
    return ecs, Fargate(ecs, world, {"sha256:1": tmp_path}, lambda _task: None)


def test_a_task_ends_as_its_process_or_never_runs_and_says_why(
    cloud: tuple[Ecs, Fargate], world: World
) -> None:
    ecs, fargate = cloud
    needy = container("say") | {"secrets": [{"name": "PGPASSWORD", "valueFrom": "arn:nothing"}]}
    ecs.definitions = {
        "good": container("say", GREETING="hello"),
        "bad": container("fail"),
        "away": container("say", image="r/mms@sha256:2"),
        "needy": needy,
    }
    ends = {}
    for name in ecs.definitions:
        record = ends[name] = ecs.make(name)
        assert fargate.launch(record).ended.wait(60)
        assert record.last_status == "STOPPED"
    codes = {name: record.containers[0].exitCode for name, record in ends.items()}
    assert codes == {"good": 0, "bad": 3, "away": None, "needy": None}
    assert world.logs.lines[f"/ecs/x task/x/{ends['good'].id}"] == ["hello"]
    assert "CannotPullContainerError" in ends["away"].stopped_reason
    assert "ResourceInitialization" in ends["needy"].stopped_reason


def test_the_environment_is_the_definitions_with_this_machines_addresses(world: World) -> None:
    given = container(
        DB_URL="postgresql://mms@db.far.example:5432/mms", PORT="8000", HOST="0.0.0.0"
    )
    given["secrets"] = [{"name": "PGPASSWORD", "valueFrom": "arn:password"}]
    found = world.environment(given, {"environment": [{"name": "A", "value": "1"}]}, 9)
    wanted = {
        "DB_URL": "postgresql://mms@127.0.0.1:1/mms",
        "PGPASSWORD": "hush",
        "A": "1",
        "HOST": "127.0.0.1",
        "PORT": "9",
    }
    assert wanted.items() <= found.items()


def test_a_service_moves_on_and_its_circuit_breaker_goes_back(cloud: tuple[Ecs, Fargate]) -> None:
    ecs, fargate = cloud
    ecs.definitions = {
        "td:1": container("stay"),
        "td:2": container("stay"),
        "td:3": container("fail"),
    }
    record = SimpleNamespace(
        name="collector",
        task_definition="td:1",
        desired_count=1,
        running_count=0,
        pending_count=0,
    )
    runner = ServiceRunner(record, fargate, lambda _s, wanted, _d: ecs.make(wanted), None, "")
    try:
        runner.settle()
        for definition in ("td:2", "td:3"):
            record.task_definition = definition
            runner.changed()
            until(lambda: record.deployments[0]["rolloutState"] == "COMPLETED", 60)
            assert record.task_definition == "td:2"
            assert [each["taskDefinition"] for each in record.deployments] == ["td:2"]
            assert record.running_count == fargate.running == 1
        assert any("tasks failed to start" in each["message"] for each in record.events)
    finally:
        runner.close()
    assert fargate.running == 0
