"""What AWS is asked, and how its replies and refusals are read."""

from __future__ import annotations

from typing import Any

import pytest

from infra.deploy.aws import Aws
from infra.deploy.errors import CannotStart, CloudError
from infra.deploy.model import Definition, Image, Network
from infra.deploy.revisions import with_image
from tests.support.ecs import NEW, definition


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


def test_a_described_revision_becomes_a_request_that_can_be_made() -> None:
    cloud, client = aws(
        describe_task_definition={"taskDefinition": DESCRIBED, "tags": [{"key": "a", "value": "b"}]}
    )
    got = cloud.newest("mms-dev-api")
    assert client.calls[0][1] == {"taskDefinition": "mms-dev-api", "include": ["TAGS"]}
    assert got.name == "mms-dev-api:7"
    assert dict(got.request) == {
        "family": "mms-dev-api",
        "containerDefinitions": [{"name": "api", "image": "r/mms:none-yet"}],
        "cpu": "256",
        "tags": [{"key": "a", "value": "b"}],
    }


def test_a_refusal_is_translated_and_names_the_call() -> None:
    cloud, _ = aws(update_service=Refusal("AccessDenied"))
    with pytest.raises(CloudError, match="update_service: AccessDenied"):
        cloud.update("mms-dev", "api", "arn")


def test_a_task_runs_on_fargate_where_it_is_told_or_the_reason_is_told() -> None:
    cloud, client = aws(run_task={"tasks": [TASK], "failures": []})
    assert cloud.start("mms-dev", "arn:td", Network(("s1", "s2"), ("g1",)), "deploy").id == "abc"
    ((_, asked),) = client.calls
    assert asked["launchType"] == "FARGATE"
    assert asked["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["s1", "s2"],
        "securityGroups": ["g1"],
        "assignPublicIp": "DISABLED",
    }
    cloud, _ = aws(run_task={"tasks": [], "failures": [{"reason": "RESOURCE:ENI"}]})
    with pytest.raises(CloudError, match="RESOURCE:ENI"):
        cloud.start("mms-dev", "arn:td/x:1", Network((), ()), "deploy")


@pytest.mark.parametrize(
    ("containers", "code"),
    [
        ([{"exitCode": 0}], 0),
        ([{"exitCode": 0}, {"exitCode": 9}], 9),
        ([{"exitCode": 0}, {}], None),
        ([], None),
    ],
)
def test_the_exit_code_of_a_task_is_the_worst_of_its_containers(
    containers: list[dict[str, int]], code: int | None
) -> None:
    cloud, _ = aws(describe_tasks={"tasks": [{**TASK, "containers": containers}]})
    assert cloud.task("mms-dev", "arn").exit_code == code


def test_a_task_that_is_forgotten_is_an_error() -> None:
    cloud, _ = aws(describe_tasks={"tasks": []})
    with pytest.raises(CloudError, match="abc"):
        cloud.task("mms-dev", "arn/abc")


def test_services_are_read_with_their_rollouts_and_inactive_ones_left_out() -> None:
    described = {
        "serviceName": "api",
        "status": "ACTIVE",
        "taskDefinition": "td:2",
        "desiredCount": 2,
        "runningCount": 1,
        "deployments": [
            {"status": "PRIMARY", "taskDefinition": "td:2", "rolloutState": "IN_PROGRESS"},
            {"status": "ACTIVE", "taskDefinition": "td:1", "rolloutState": "FAILED"},
        ],
        "events": [{"message": "has started 1 tasks"}],
    }
    gone = {**described, "serviceName": "collector", "status": "INACTIVE"}
    cloud, _ = aws(describe_services={"services": [gone, described], "failures": []})
    (service,) = cloud.services("mms-dev", ["api", "collector"])
    assert (service.desired, service.running, service.events) == (2, 1, ("has started 1 tasks",))
    assert [(each.primary, each.state) for each in service.rollouts] == [
        (True, "IN_PROGRESS"),
        (False, "FAILED"),
    ]


def test_the_tasks_of_a_service_are_those_of_its_group() -> None:
    other = {**TASK, "taskArn": "arn/other", "group": "family:mms-dev-migrate"}
    cloud, client = aws(
        list_tasks={"taskArns": ["a", "b"]}, describe_tasks={"tasks": [TASK, other]}
    )
    assert [each.id for each in cloud.tasks_of("mms-dev", "api", stopped=True)] == ["abc"]
    assert client.calls[0][1]["desiredStatus"] == "STOPPED"


def test_the_last_lines_of_a_log_and_a_log_that_never_was() -> None:
    cloud, _ = aws(get_log_events={"events": [{"message": "one\n"}, {"message": "two"}]})
    assert cloud.log_lines("/ecs/x", "task/x/1", 5) == ("one", "two")
    cloud, _ = aws(get_log_events=Refusal("ResourceNotFoundException: no such stream"))
    assert cloud.log_lines("/ecs/x", "task/x/1", 5) == ()


def test_an_image_is_looked_for_by_its_digest_in_its_repository() -> None:
    cloud, client = aws(batch_get_image={"images": [], "failures": [{}]})
    assert not cloud.image_stored(NEW)
    assert client.calls[0][1]["repositoryName"] == "mms-dev"
    assert client.calls[0][1]["imageIds"] == [{"imageDigest": NEW.digest}]


@pytest.mark.parametrize("text", ["r/mms:latest", "r/mms@sha256:abc", "R/X@sha256:" + "a" * 64])
def test_an_image_is_named_by_digest_and_nothing_else(text: str) -> None:
    assert str(Image.parse(str(NEW))) == str(NEW)
    with pytest.raises(CannotStart, match="by digest"):
        Image.parse(text)


def test_a_side_car_keeps_its_image_and_a_task_without_ours_is_refused() -> None:
    (ours,) = definition("mms-dev-api", 1).request["containerDefinitions"]
    cars = [{"name": "a", "image": "localhost:5000/a:1"}, {"name": "b", "image": "busybox"}]
    both = Definition("arn/td:1", "td", {"containerDefinitions": [ours, *cars]})
    images = [each["image"] for each in with_image(both, NEW)["containerDefinitions"]]
    assert images == [str(NEW), "localhost:5000/a:1", "busybox"]
    with pytest.raises(CannotStart, match="td:1"):
        with_image(Definition("arn/td:1", "td", {"containerDefinitions": cars}), NEW)
