"""An ECS that records what it is asked to do, and does what a test scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infra.deploy.errors import CloudError
from infra.deploy.model import Definition, Image, Network, Rollout, Service, Target, Task

OLD = Image("1.dkr.ecr.us-east-1.amazonaws.com/mms-dev", "sha256:" + "a" * 64)
NEW = Image("1.dkr.ecr.us-east-1.amazonaws.com/mms-dev", "sha256:" + "b" * 64)

TARGET = Target(
    cluster="mms-dev",
    network=Network(("subnet-1",), ("sg-migrate",)),
    migrate="mms-dev-migrate",
    services={"api": "mms-dev-api", "collector": "mms-dev-collector"},
    held=("mms-dev-incremental", "mms-dev-monitor"),
    plain=("mms-dev-initial-load",),
    image_parameter="/mms-dev/image",
)
FAMILIES = ("migrate", "api", "collector", "initial-load", "incremental", "monitor")


def arn(family: str, revision: int) -> str:
    """The ARN of a task definition's revision."""
    return f"arn:aws:ecs:us-east-1:1:task-definition/{family}:{revision}"


def definition(family: str, revision: int, image: Image = OLD) -> Definition:
    """A revision with one container that logs to CloudWatch."""
    name = family.removeprefix("mms-dev-")
    options = {"awslogs-group": f"/ecs/{family}", "awslogs-stream-prefix": "task"}
    container = {
        "name": name,
        "image": str(image),
        "command": [name],
        "logConfiguration": {"logDriver": "awslogs", "options": options},
    }
    request = {"family": family, "cpu": "256", "containerDefinitions": [container]}
    return Definition(arn(family, revision), family, request)


def resting(name: str, revision: str, desired: int = 1) -> Service:
    """A service at rest at a revision."""
    return Service(name, revision, desired, desired, (Rollout(True, revision, "COMPLETED"),))


@dataclass
class FakeCloud:
    """Answers like ECS; `calls` holds what changed something, in order.

    `exit_code` is the migration's; `fails` are the operations that AWS refuses, each so many times.
    """

    exit_code: int | None = 0
    task_ends_after: int = 2
    fails: dict[str, int] = field(default_factory=dict)
    stored: bool = True
    cluster: bool = True
    rollouts_take: int = 2
    lines: tuple[str, ...] = ("migrate: the database is migrated to version 0006",)
    calls: list[str] = field(default_factory=list)
    revisions: dict[str, list[Definition]] = field(default_factory=dict)
    state: dict[str, Service] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    looks: int = 0
    left: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in FAMILIES:
            family = f"mms-dev-{name}"
            self.revisions[family] = [definition(family, 1)]
        for name, family in TARGET.services.items():
            self.state[name] = resting(name, arn(family, 1))

    def serving(self) -> dict[str, str]:
        """The revision that each service rests at."""
        return {name: each.definition.rpartition("/")[2] for name, each in self.state.items()}

    def newest_names(self) -> dict[str, str]:
        """What each family's name stands for."""
        return {name: known[-1].name for name, known in self.revisions.items()}

    def account(self) -> str:
        self._maybe_fail("account")
        return "123456789012"

    def cluster_active(self, cluster: str) -> bool:
        return self.cluster and cluster == "mms-dev"

    def image_stored(self, image: Image) -> bool:
        self._maybe_fail("image_stored")
        return self.stored

    def newest(self, family: str) -> Definition:
        return self.revisions[family][-1]

    def definition(self, name: str) -> Definition:
        return next(d for known in self.revisions.values() for d in known if d.arn == name)

    def register(self, request: Mapping[str, Any]) -> Definition:
        family = str(request["family"])
        self._maybe_fail("register")
        self._maybe_fail(f"register {family}")
        known = self.revisions[family]
        number = int(known[-1].arn.rpartition(":")[2]) + 1
        made = Definition(arn(family, number), family, dict(request))
        known.append(made)
        self.calls.append(f"register {made.name}")
        return made

    def deregister(self, name: str) -> None:
        self._maybe_fail("deregister")
        for known in self.revisions.values():
            known[:] = [each for each in known if each.arn != name]
        self.calls.append(f"deregister {name.rpartition('/')[2]}")

    def services(self, cluster: str, names: Sequence[str]) -> tuple[Service, ...]:
        self._maybe_fail("services")
        for name in names:
            if name in self.left:
                self.left[name] -= 1
                if self.left[name] <= 0:
                    del self.left[name]
                    service = self.state[name]
                    self.state[name] = resting(name, service.definition, service.desired)
        return tuple(self.state[name] for name in names if name in self.state)

    def update(self, cluster: str, service: str, wanted: str) -> None:
        self._maybe_fail(f"update {service}")
        self.calls.append(f"update {service} {wanted.rpartition('/')[2]}")
        before = self.state[service]
        rollouts = (
            Rollout(True, wanted, "IN_PROGRESS"),
            Rollout(False, before.definition, "COMPLETED"),
        )
        self.state[service] = replace(before, definition=wanted, rollouts=rollouts)
        self.left[service] = self.rollouts_take

    def start(self, cluster: str, wanted: str, network: Network, by: str) -> Task:
        self._maybe_fail("start")
        self.calls.append(f"run {wanted.rpartition('/')[2]} in {network.security_groups[0]}")
        return Task("arn:aws:ecs:us-east-1:1:task/mms-dev/abc123", wanted, "PROVISIONING")

    def task(self, cluster: str, name: str) -> Task:
        self._maybe_fail("task")
        self.looks += 1
        wanted = self.revisions[TARGET.migrate][-1].arn
        if self.looks < self.task_ends_after:
            return Task(name, wanted, "RUNNING")
        return Task(name, wanted, "STOPPED", self.exit_code, "Essential container in task exited")

    def stop(self, cluster: str, name: str, reason: str) -> None:
        self.calls.append("stop abc123")

    def tasks_of(self, cluster: str, service: str, *, stopped: bool = False) -> tuple[Task, ...]:
        if stopped:
            before = Task("arn/old", arn("mms-dev-api", 1), "STOPPED", 1, "an earlier one")
            return (before, Task("arn/dead", arn("mms-dev-api", 2), "STOPPED", 1, "it ended"))
        state = self.state[service]
        return tuple(Task(f"arn/{n}", state.definition, "RUNNING") for n in range(state.running))

    def remember(self, parameter: str, image: Image) -> None:
        self._maybe_fail("remember")
        self.parameters[parameter] = str(image)
        self.calls.append(f"remember {image.short}")

    def log_lines(self, group: str, stream: str, count: int) -> tuple[str, ...]:
        self._maybe_fail("log_lines")
        return self.lines[-count:]

    def _maybe_fail(self, operation: str) -> None:
        if self.fails.get(operation, 0) > 0:
            self.fails[operation] -= 1
            raise CloudError(f"{operation}: AccessDeniedException")


@dataclass
class Clock:
    """A clock that only waiting moves."""

    seconds: float = 0.0

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
