"""The stand-ins of the rehearsal do what the things do that they stand in for."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra.rehearsal import images
from infra.rehearsal.balancer import Balancer
from infra.rehearsal.fargate import Fargate
from infra.rehearsal.services import ServiceRunner
from infra.rehearsal.world import SecretMissingError, World
from tests.support.patience import until

ENTRY = '#!/bin/sh\ncase $1 in\n  fail) echo no; exit 3 ;;\n  say) echo "$GREETING" ;;\n'
ENTRY += "  stay) trap 'exit 0' TERM; while :; do sleep 0.05; done ;;\nesac\n"


@contextmanager
def backend(name: str, may: threading.Event | None = None) -> Iterator[int]:
    """A server that says its name, once it may; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert may is None or may.wait(30)
            body = name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def ask(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as reply:
        text: str = reply.read().decode()
        return text


def test_the_load_balancer_takes_turns_among_those_that_are_registered() -> None:
    balancer = Balancer()
    try:
        with backend("one") as one, backend("two") as two:
            balancer.register(one)
            balancer.register(two)
            assert {ask(balancer.url) for _ in range(4)} == {"one", "two"}
            balancer.deregister(one, 5)
            assert {ask(balancer.url) for _ in range(4)} == {"two"}
            balancer.deregister(two, 5)
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(balancer.url)
            assert refused.value.code == 503
            refused.value.close()
    finally:
        balancer.close()


def test_the_load_balancer_lets_go_of_a_target_once_its_last_reply_has_left() -> None:
    balancer, may = Balancer(), threading.Event()
    replies: list[str] = []
    try:
        with backend("slow", may) as slow, backend("other") as other:
            balancer.register(slow)
            asking = threading.Thread(target=lambda: replies.append(ask(balancer.url)))
            asking.start()
            until(lambda: balancer.open(slow) == 1)
            balancer.register(other)
            balancer.deregister(slow, 0.1)
            assert replies == []  # it waited no longer than it was told to
            letting_go = threading.Thread(target=balancer.deregister, args=[slow, 30.0])
            letting_go.start()
            assert ask(balancer.url) == "other"  # nobody else waits
            assert letting_go.is_alive()
            may.set()
            letting_go.join(20)
            assert not letting_go.is_alive()
            asking.join(20)
            assert replies == ["slow"]
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


def test_a_task_has_its_processs_exit_code_and_log(
    cloud: tuple[Ecs, Fargate], world: World
) -> None:
    ecs, fargate = cloud
    ecs.definitions = {"good": container("say", GREETING="hello"), "bad": container("fail")}
    for name, code, line in (("good", 0, "hello"), ("bad", 3, "no")):
        record = ecs.make(name)
        task = fargate.launch(record)
        assert task.ended.wait(20)
        assert (record.last_status, record.containers[0].exitCode) == ("STOPPED", code)
        assert world.logs.lines[f"/ecs/x task/x/{record.id}"] == [line]


def test_an_override_of_the_command_counts(cloud: tuple[Ecs, Fargate]) -> None:
    ecs, fargate = cloud
    ecs.definitions = {"good": container("say", GREETING="hello")}
    record = ecs.make("good")
    record.overrides = {"containerOverrides": [{"name": "x", "command": ["fail"]}]}
    assert fargate.launch(record).ended.wait(20)
    assert record.containers[0].exitCode == 3


def test_an_image_that_is_not_there_and_a_secret_without_value_stop_the_task(
    cloud: tuple[Ecs, Fargate],
) -> None:
    ecs, fargate = cloud
    needy = container("say") | {"secrets": [{"name": "PGPASSWORD", "valueFrom": "arn:nothing"}]}
    ecs.definitions = {"away": container("say", image="r/mms@sha256:2"), "needy": needy}
    for name, why in (("away", "CannotPullContainerError"), ("needy", "ResourceInitialization")):
        record = ecs.make(name)
        assert fargate.launch(record).ended.wait(20)
        assert record.containers[0].exitCode is None
        assert why in record.stopped_reason


def test_a_task_that_is_stopped_gets_a_sigterm(cloud: tuple[Ecs, Fargate]) -> None:
    ecs, fargate = cloud
    ecs.definitions = {"stay": container("stay")}
    record = ecs.make("stay")
    fargate.launch(record)
    until(lambda: record.last_status == "RUNNING")
    fargate.stop(record.id, "told to")
    assert (record.last_status, record.stopped_reason) == ("STOPPED", "told to")
    assert fargate.running == 0


def test_the_environment_is_the_definitions_with_this_machines_addresses(world: World) -> None:
    given = container(
        DB_URL="postgresql://mms@db.far.example:5432/mms", PORT="8000", HOST="0.0.0.0"
    )
    given["secrets"] = [{"name": "PGPASSWORD", "valueFrom": "arn:password"}]
    found = world.environment(given, {"environment": [{"name": "A", "value": "1"}]}, 9)
    assert found["DB_URL"] == "postgresql://mms@127.0.0.1:1/mms"
    assert (found["PGPASSWORD"], found["A"]) == ("hush", "1")
    assert (found["HOST"], found["PORT"]) == ("127.0.0.1", "9")
    given["secrets"] = [{"name": "PGPASSWORD", "valueFrom": "arn:nothing"}]
    with pytest.raises(SecretMissingError, match="PGPASSWORD"):
        world.environment(given, {}, 9)


def service(ecs: Ecs, fargate: Fargate, definition: str) -> ServiceRunner:
    """A service without a load balancer."""
    record = SimpleNamespace(
        name="collector",
        task_definition=definition,
        desired_count=1,
        running_count=0,
        pending_count=0,
    )
    return ServiceRunner(record, fargate, lambda _s, wanted, _d: ecs.make(wanted), None, "")


def test_a_service_moves_on_and_its_circuit_breaker_goes_back(cloud: tuple[Ecs, Fargate]) -> None:
    ecs, fargate = cloud
    ecs.definitions = {
        "td:1": container("stay"),
        "td:2": container("stay"),
        "td:3": container("fail"),
    }
    runner = service(ecs, fargate, "td:1")
    try:
        runner.settle()
        for definition, rests_at in (("td:2", "td:2"), ("td:3", "td:2")):
            runner.record.task_definition = definition
            runner.changed()
            until(lambda: runner.record.deployments[0]["rolloutState"] == "COMPLETED")
            assert runner.record.task_definition == rests_at
            assert [each["taskDefinition"] for each in runner.record.deployments] == [rests_at]
            assert runner.record.running_count == 1
        assert any("tasks failed to start" in each["message"] for each in runner.record.events)
        assert fargate.running == 1
    finally:
        runner.close()
    assert fargate.running == 0


def test_a_service_that_never_worked_has_nothing_to_go_back_to(cloud: tuple[Ecs, Fargate]) -> None:
    ecs, fargate = cloud
    ecs.definitions = {"td:1": container("fail")}
    runner = service(ecs, fargate, "td:1")
    runner.settle()
    (only,) = runner.record.deployments
    assert (only["rolloutState"], runner.record.running_count) == ("FAILED", 0)
    runner.close()


def test_an_image_is_todays_code_with_what_is_changed(tmp_path: Path) -> None:
    change = {"app/main.py": ('version="0.1.0"', 'version="9.9.9"')}
    folder = images.build(tmp_path / "new", change, {"app/extra.py": "X = 1\n"})
    assert 'version="9.9.9"' in (folder / "app/main.py").read_text()
    assert (folder / "app/extra.py").read_text() == "X = 1\n"
    assert (folder / "infra/image/entrypoint.sh").exists()
    with pytest.raises(LookupError, match="no longer holds"):
        images.build(tmp_path / "other", {"app/main.py": ("not there", "")}, {})


def test_the_digest_of_an_image_is_that_of_its_content(tmp_path: Path) -> None:
    class Ecr:
        def __init__(self) -> None:
            self.manifests: list[str] = []

        def put_image(self, *, imageManifest: str, **_: str) -> Any:
            self.manifests.append(imageManifest)
            return {"image": {"imageId": {"imageDigest": "sha256:1"}}}

    ecr = Ecr()
    (tmp_path / "a").write_text("1")
    images.push(ecr, "mms", "one", tmp_path)
    images.push(ecr, "mms", "one", tmp_path)
    (tmp_path / "a").write_text("2")
    images.push(ecr, "mms", "one", tmp_path)
    assert ecr.manifests[0] == ecr.manifests[1] != ecr.manifests[2]
