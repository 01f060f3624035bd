"""New revisions from old ones: the same in everything but the image."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from infra.deploy.errors import CannotStart
from infra.deploy.model import Definition, Image

_REGISTERED: Final = (
    "family",
    "taskRoleArn",
    "executionRoleArn",
    "networkMode",
    "containerDefinitions",
    "volumes",
    "placementConstraints",
    "requiresCompatibilities",
    "cpu",
    "memory",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "inferenceAccelerators",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
)
"""What RegisterTaskDefinition takes; DescribeTaskDefinition replies with more than that."""


def request_of(described: Mapping[str, Any], tags: list[Any]) -> dict[str, Any]:
    """What registers a described task definition again: only what can be given, and not empty."""
    request = {name: described[name] for name in _REGISTERED if described.get(name)}
    return {**request, "tags": tags} if tags else request


def with_image(definition: Definition, image: Image) -> dict[str, Any]:
    """The request that registers `definition` with another image.

    A task of one container runs that image. Where there are several, those change that have an
    image of the same repository already; a side-car keeps its own. Raises CannotStart where none
    would.
    """
    request = copy.deepcopy(dict(definition.request))
    containers = request["containerDefinitions"]
    ours = [
        each
        for each in containers
        if len(containers) == 1 or repository(each["image"]) == image.repository
    ]
    if not ours:
        raise CannotStart(
            f"no container of {definition.name} runs an image of {image.repository}: "
            f"it runs {', '.join(definition.images)}"
        )
    for each in ours:
        each["image"] = str(image)
    return request


def repository(image: str) -> str:
    """The repository of an image's name, with its registry and without tag and digest."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def log_stream(definition: Definition, task_id: str) -> tuple[str, str] | None:
    """The log group and stream of a task's first container; None where it logs elsewhere."""
    container = definition.request["containerDefinitions"][0]
    options = container.get("logConfiguration", {}).get("options", {})
    group, prefix = options.get("awslogs-group"), options.get("awslogs-stream-prefix")
    if not group or not prefix:
        return None
    return group, f"{prefix}/{container['name']}/{task_id}"
