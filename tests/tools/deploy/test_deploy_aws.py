"""How the replies and refusals of AWS are read.

`make infra-rehearse` deploys through the real client: its requests, and its replies without a
fault.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from infra.deploy.aws import Aws
from infra.deploy.errors import CannotStart, CloudError
from infra.deploy.model import Definition, Image, Network
from infra.deploy.revisions import with_image
from tests.support.ecs import NEW, definition


class Refusal(Exception):
    """What a client raises."""


def aws(**replies: Any) -> Aws:
    """The door with clients that reply so."""

    def saying(reply: Any) -> Any:
        def call(**_: Any) -> Any:
            if isinstance(reply, Exception):
                raise reply
            return reply

        return call

    client = SimpleNamespace(**{name: saying(reply) for name, reply in replies.items()})
    return Aws(client, client, client, client, client, (Refusal,))


TASK = {
    "taskArn": "arn:aws:ecs:us-east-1:1:task/mms-dev/abc",
    "taskDefinitionArn": "arn:td/mms-dev-migrate:2",
    "lastStatus": "STOPPED",
    "stoppedReason": "Essential container in task exited",
    "containers": [{"exitCode": 3}],
}


def test_a_refusal_is_translated_and_names_the_call() -> None:
    cloud = aws(update_service=Refusal("AccessDenied"))
    with pytest.raises(CloudError, match="update_service: AccessDenied"):
        cloud.update("mms-dev", "api", "arn")


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
    cloud = aws(describe_tasks={"tasks": [{**TASK, "containers": containers}]})
    assert cloud.task("mms-dev", "arn").exit_code == code


def test_a_task_that_is_not_started_or_forgotten_is_an_error() -> None:
    cloud = aws(run_task={"tasks": [], "failures": [{"reason": "RESOURCE:ENI"}]})
    with pytest.raises(CloudError, match="RESOURCE:ENI"):
        cloud.start("mms-dev", "arn:td/x:1", Network((), ()), "deploy")
    cloud = aws(describe_tasks={"tasks": []})
    with pytest.raises(CloudError, match="abc"):
        cloud.task("mms-dev", "arn/abc")


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
