"""What AWS is asked, and how its replies and refusals are read."""

from __future__ import annotations

from typing import Any

import pytest

from infra.deploy.aws import Aws
from infra.deploy.errors import CannotStart, CloudError
from infra.deploy.model import Cloud, Definition, Image, Network
from infra.deploy.revisions import log_stream, repository, with_image
from tests.support.ecs import NEW, OLD, definition


class Refusal(Exception):
    """What a client raises."""


class Client:
    """A boto3 client that records and replies as told."""

    def __init__(self, **replies: Any) -> None:
        self.replies = replies
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append((operation, arguments))
            reply = self.replies[operation]
            if isinstance(reply, Exception):
                raise reply
            return reply

        return call


def aws(**replies: Any) -> tuple[Aws, Client]:
    client = Client(**replies)
    return Aws(client, client, client, client, client, (Refusal,)), client


DESCRIBED = {
    "taskDefinitionArn": "arn:aws:ecs:us-east-1:1:task-definition/mms-dev-api:7",
    "family": "mms-dev-api",
    "revision": 7,
    "status": "ACTIVE",
    "requiresAttributes": [{"name": "ecs.capability"}],
    "compatibilities": ["FARGATE"],
    "registeredAt": "2026-10-01",
    "registeredBy": "someone",
    "containerDefinitions": [{"name": "api", "image": "r/mms:none-yet"}],
    "cpu": "256",
    "volumes": [],
}
TASK = {
    "taskArn": "arn:aws:ecs:us-east-1:1:task/mms-dev/abc",
    "taskDefinitionArn": "arn:td/mms-dev-migrate:2",
    "lastStatus": "STOPPED",
    "group": "service:api",
    "stoppedReason": "Essential container in task exited",
    "containers": [{"exitCode": 3}],
}


def test_it_is_what_the_deployment_asks_for() -> None:
    cloud: Cloud = aws()[0]
    assert cloud is not None


def test_a_described_revision_becomes_a_request_that_can_be_made() -> None:
    found, client = aws(
        describe_task_definition={"taskDefinition": DESCRIBED, "tags": [{"key": "a", "value": "b"}]}
    )
    got = found.newest("mms-dev-api")
    assert client.calls == [
        ("describe_task_definition", {"taskDefinition": "mms-dev-api", "include": ["TAGS"]})
    ]
    assert got.name == "mms-dev-api:7"
    assert dict(got.request) == {
        "family": "mms-dev-api",
        "containerDefinitions": [{"name": "api", "image": "r/mms:none-yet"}],
        "cpu": "256",
        "tags": [{"key": "a", "value": "b"}],
    }


def test_a_refusal_is_translated_and_names_the_call() -> None:
    found, _ = aws(update_service=Refusal("AccessDenied"))
    with pytest.raises(CloudError, match="update_service: AccessDenied"):
        found.update("mms-dev", "api", "arn")


def test_a_task_runs_on_fargate_where_it_is_told() -> None:
    found, client = aws(run_task={"tasks": [TASK], "failures": []})
    task = found.start("mms-dev", "arn:td", Network(("s1", "s2"), ("g1",)), "deploy")
    ((_, asked),) = client.calls
    assert asked["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["s1", "s2"],
        "securityGroups": ["g1"],
        "assignPublicIp": "DISABLED",
    }
    assert (asked["launchType"], task.id, task.exit_code) == ("FARGATE", "abc", 3)


def test_a_task_that_ecs_does_not_start_is_an_error_with_its_reason() -> None:
    found, _ = aws(run_task={"tasks": [], "failures": [{"reason": "RESOURCE:ENI"}]})
    with pytest.raises(CloudError, match="RESOURCE:ENI"):
        found.start("mms-dev", "arn:td/x:1", Network((), ()), "deploy")


@pytest.mark.parametrize(
    ("containers", "code"),
    [
        ([{"exitCode": 0}], 0),
        ([{"exitCode": 0}, {"exitCode": 9}], 9),
        ([{}], None),
        ([{"exitCode": 0}, {}], None),
        ([], None),
    ],
)
def test_the_exit_code_of_a_task_is_the_worst_of_its_containers(
    containers: list[dict[str, int]], code: int | None
) -> None:
    found, _ = aws(describe_tasks={"tasks": [{**TASK, "containers": containers}]})
    assert found.task("mms-dev", "arn").exit_code == code


def test_a_task_that_is_forgotten_is_an_error() -> None:
    found, _ = aws(describe_tasks={"tasks": []})
    with pytest.raises(CloudError, match="no longer knows the task"):
        found.task("mms-dev", "arn/abc")


def test_services_are_read_with_their_rollouts_and_inactive_ones_left_out() -> None:
    described = {
        "serviceName": "api",
        "status": "ACTIVE",
        "taskDefinition": "td:2",
        "desiredCount": 2,
        "runningCount": 1,
        "deployments": [
            {"status": "PRIMARY", "taskDefinition": "td:2", "rolloutState": "IN_PROGRESS"},
            {
                "status": "ACTIVE",
                "taskDefinition": "td:1",
                "rolloutState": "FAILED",
                "rolloutStateReason": "tasks failed to start",
                "failedTasks": 3,
            },
        ],
        "events": [{"message": "has started 1 tasks"}],
    }
    gone = {**described, "serviceName": "collector", "status": "INACTIVE"}
    found, _ = aws(describe_services={"services": [gone, described], "failures": []})
    (service,) = found.services("mms-dev", ["api", "collector"])
    assert (service.desired, service.running, service.events) == (2, 1, ("has started 1 tasks",))
    assert [each.primary for each in service.rollouts] == [True, False]
    assert service.rollouts[1].failed_tasks == 3
    assert found.services("mms-dev", []) == ()


def test_the_tasks_of_a_service_are_those_of_its_group() -> None:
    other = {**TASK, "taskArn": "arn/other", "group": "family:mms-dev-migrate"}
    found, client = aws(
        list_tasks={"taskArns": ["a", "b"]}, describe_tasks={"tasks": [TASK, other]}
    )
    assert [each.id for each in found.tasks_of("mms-dev", "api")] == ["abc"]
    assert client.calls[0][1]["desiredStatus"] == "RUNNING"
    found, client = aws(list_tasks={"taskArns": []})
    assert found.tasks_of("mms-dev", "api", stopped=True) == ()
    assert client.calls[0][1]["desiredStatus"] == "STOPPED"


def test_the_last_lines_of_a_log_and_a_log_that_never_was() -> None:
    events = [{"message": "one\n"}, {"message": "two"}]
    found, client = aws(get_log_events={"events": events})
    assert found.log_lines("/ecs/x", "task/x/1", 5) == ("one", "two")
    assert client.calls[0][1]["limit"] == 5
    found, _ = aws(get_log_events=Refusal("ResourceNotFoundException: no such stream"))
    assert found.log_lines("/ecs/x", "task/x/1", 5) == ()
    found, _ = aws(get_log_events=Refusal("AccessDenied"))
    with pytest.raises(CloudError):
        found.log_lines("/ecs/x", "task/x/1", 5)


def test_an_image_is_looked_for_by_its_digest_in_its_repository() -> None:
    found, client = aws(batch_get_image={"images": [{}], "failures": []})
    assert found.image_stored(NEW)
    assert client.calls[0][1]["repositoryName"] == "mms-dev"
    assert client.calls[0][1]["imageIds"] == [{"imageDigest": NEW.digest}]
    found, _ = aws(batch_get_image={"images": [], "failures": [{}]})
    assert not found.image_stored(NEW)


def test_cluster_account_and_parameter() -> None:
    found, client = aws(
        describe_clusters={"clusters": [{"status": "INACTIVE"}]},
        get_caller_identity={"Account": "1"},
        put_parameter={},
        deregister_task_definition={},
    )
    assert not found.cluster_active("mms-dev")
    assert found.account() == "1"
    found.remember("/mms-dev/image", NEW)
    assert client.calls[-1][1] == {
        "Name": "/mms-dev/image",
        "Value": str(NEW),
        "Overwrite": True,
    }
    found.deregister("arn")
    assert [name for name, _ in client.calls][-2:] == [
        "put_parameter",
        "deregister_task_definition",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "r/mms:latest",
        "r/mms",
        "r/mms@sha256:abc",
        "r/mms@md5:" + "a" * 64,
        "",
        "R/X@sha256:" + "a" * 64,
    ],
)
def test_an_image_is_named_by_digest_and_nothing_else(text: str) -> None:
    with pytest.raises(CannotStart, match="by digest"):
        Image.parse(text)


def test_an_image_keeps_its_name() -> None:
    assert str(Image.parse(str(NEW))) == str(NEW)


def test_a_side_car_keeps_its_image() -> None:
    before = definition("mms-dev-api", 1)
    containers = [
        *before.request["containerDefinitions"],
        {"name": "proxy", "image": "other/proxy:1"},
    ]
    both = Definition(
        before.arn, before.family, {**before.request, "containerDefinitions": containers}
    )
    images = [each["image"] for each in with_image(both, NEW)["containerDefinitions"]]
    assert images == [str(NEW), "other/proxy:1"]
    assert before.images == (str(OLD),)


def test_a_task_in_which_no_container_is_ours_is_refused() -> None:
    containers = [{"name": "a", "image": "x/a:1"}, {"name": "b", "image": "x/b:1"}]
    other = Definition("arn/td:1", "td", {"containerDefinitions": containers})
    with pytest.raises(CannotStart, match="no container of td:1"):
        with_image(other, NEW)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (
            "1.dkr.ecr.us-east-1.amazonaws.com/mms-dev:abc",
            "1.dkr.ecr.us-east-1.amazonaws.com/mms-dev",
        ),
        ("localhost:5000/mms@sha256:0", "localhost:5000/mms"),
        ("busybox", "busybox"),
    ],
)
def test_the_repository_of_an_image(image: str, name: str) -> None:
    assert repository(image) == name


def test_a_log_that_goes_elsewhere_has_no_stream() -> None:
    assert log_stream(definition("mms-dev-migrate", 1), "t") == (
        "/ecs/mms-dev-migrate",
        "task/migrate/t",
    )
    other = Definition("arn/td:1", "td", {"containerDefinitions": [{"name": "a", "image": "x"}]})
    assert log_stream(other, "t") is None
