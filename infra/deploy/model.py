"""What the deployment speaks of: frozen values, and a protocol of what it needs from AWS."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from infra.deploy.errors import CannotStart

_IMAGE: Final = re.compile(
    r"(?P<repository>[a-z0-9][a-z0-9._/:-]*)@(?P<digest>sha256:[0-9a-f]{64})"
)


@dataclass(frozen=True)
class Image:
    """An image by content: what was tested is what runs, whatever a tag is moved to."""

    repository: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Image:
        """The image that `repository@sha256:…` names. Raises CannotStart for anything else."""
        match = _IMAGE.fullmatch(text)
        if match is None:
            raise CannotStart(
                f"the image {text!r} is not named by digest: give "
                "ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:… (64 hexadecimal digits)"
            )
        return cls(match["repository"], match["digest"])

    @property
    def short(self) -> str:
        """The first 12 digits of the digest, for lines that people read."""
        return self.digest.removeprefix("sha256:")[:12]

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True)
class Network:
    """Where a one-off task runs."""

    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public_ip: bool = False


@dataclass(frozen=True)
class Target:
    """One environment, as Terraform's outputs describe it.

    `migrate` is the family of the migration task. `services` maps each service to its family, in
    the order in which they are named to people. `held` are families that something starts by the
    family's name alone, so that a new revision counts at once; `plain` are the others without a
    service.
    """

    cluster: str
    network: Network
    migrate: str
    services: Mapping[str, str]
    held: tuple[str, ...]
    plain: tuple[str, ...] = ()
    image_parameter: str | None = None
    """The parameter that says which image is deployed, for Terraform to read."""


@dataclass(frozen=True)
class Definition:
    """A registered revision of a task definition; `request` is what would register it again."""

    arn: str
    family: str
    request: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`family:revision`."""
        return self.arn.rpartition("/")[2]

    @property
    def images(self) -> tuple[str, ...]:
        """The image of each container."""
        return tuple(str(each["image"]) for each in self.request["containerDefinitions"])


@dataclass(frozen=True)
class Rollout:
    """One deployment of a service, in ECS's words: PRIMARY is the one that it is moving to."""

    primary: bool
    definition: str
    state: str
    reason: str = ""
    failed_tasks: int = 0


@dataclass(frozen=True)
class Service:
    """A service as ECS describes it."""

    name: str
    definition: str
    desired: int
    running: int
    rollouts: tuple[Rollout, ...]
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task; `exit_code` is None while it runs, and where its container never did."""

    arn: str
    definition: str
    status: str
    exit_code: int | None = None
    reason: str = ""

    @property
    def id(self) -> str:
        """The last part of the ARN, which names the log stream too."""
        return self.arn.rpartition("/")[2]


class Cloud(Protocol):
    """What the deployment needs from AWS. Every call raises CloudError where AWS refuses."""

    def account(self) -> str:
        """The account that the credentials belong to."""

    def cluster_active(self, cluster: str) -> bool:
        """Whether the cluster is there and active."""

    def image_stored(self, image: Image) -> bool:
        """Whether the registry holds the image."""

    def newest(self, family: str) -> Definition:
        """The newest active revision of a family."""

    def definition(self, arn: str) -> Definition:
        """One revision."""

    def register(self, request: Mapping[str, Any]) -> Definition:
        """Register a revision."""

    def deregister(self, arn: str) -> None:
        """Make a revision inactive: nothing new starts with it."""

    def services(self, cluster: str, names: Sequence[str]) -> tuple[Service, ...]:
        """The services that are there and active, in the order of `names`."""

    def update(self, cluster: str, service: str, definition: str) -> None:
        """Make a service move to a revision."""

    def start(self, cluster: str, definition: str, network: Network, by: str) -> Task:
        """Start one task on Fargate."""

    def task(self, cluster: str, arn: str) -> Task:
        """A task as it is now."""

    def stop(self, cluster: str, arn: str, reason: str) -> None:
        """Stop a task."""

    def tasks_of(self, cluster: str, service: str, *, stopped: bool = False) -> tuple[Task, ...]:
        """The tasks of a service that run, or those that stopped of late."""

    def remember(self, parameter: str, image: Image) -> None:
        """Write the image's name into a parameter."""

    def log_lines(self, group: str, stream: str, count: int) -> tuple[str, ...]:
        """The last lines of a log stream; none where there is no such stream."""


@dataclass(frozen=True)
class Pace:
    """The clock, and how long to wait between two looks and in all, in seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], None]
    every: float = 5.0
    migration: float = 900.0
    stable: float = 1_200.0
    settle: float = 30.0
    """How long ECS may go on showing what was so before an update."""


@dataclass
class Taken:
    """What a deployment has changed so far, so that it can be taken back."""

    registered: list[Definition] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    """Service to the revision that it had."""
