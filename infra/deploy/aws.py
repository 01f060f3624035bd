"""The door to AWS: boto3's clients behind the protocol that the deployment knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infra.deploy.errors import CannotStart, CloudError
from infra.deploy.model import Definition, Image, Network, Rollout, Service, Task
from infra.deploy.revisions import request_of

_MANIFESTS: Final = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
]


@dataclass(frozen=True)
class Aws:
    """The clients of one account and region, and the exceptions by which they fail."""

    ecs: Any
    ecr: Any
    logs: Any
    ssm: Any
    sts: Any
    failures: tuple[type[Exception], ...]

    def account(self) -> str:
        """As Cloud.account."""
        return str(self._call(self.sts, "get_caller_identity")["Account"])

    def cluster_active(self, cluster: str) -> bool:
        """As Cloud.cluster_active."""
        clusters = self._call(self.ecs, "describe_clusters", clusters=[cluster])["clusters"]
        return any(each["status"] == "ACTIVE" for each in clusters)

    def image_stored(self, image: Image) -> bool:
        """As Cloud.image_stored; the registry is that of the account, whatever the name says."""
        reply = self._call(
            self.ecr,
            "batch_get_image",
            repositoryName=image.repository.partition("/")[2],
            imageIds=[{"imageDigest": image.digest}],
            acceptedMediaTypes=_MANIFESTS,
        )
        return bool(reply["images"])

    def newest(self, family: str) -> Definition:
        """As Cloud.newest."""
        return self.definition(family)

    def definition(self, arn: str) -> Definition:
        """As Cloud.definition."""
        reply = self._call(
            self.ecs, "describe_task_definition", taskDefinition=arn, include=["TAGS"]
        )
        return _definition(reply["taskDefinition"], reply.get("tags", []))

    def register(self, request: Mapping[str, Any]) -> Definition:
        """As Cloud.register."""
        reply = self._call(self.ecs, "register_task_definition", **request)
        return _definition(reply["taskDefinition"], reply.get("tags", []))

    def deregister(self, arn: str) -> None:
        """As Cloud.deregister."""
        self._call(self.ecs, "deregister_task_definition", taskDefinition=arn)

    def services(self, cluster: str, names: Sequence[str]) -> tuple[Service, ...]:
        """As Cloud.services."""
        if not names:
            return ()
        reply = self._call(self.ecs, "describe_services", cluster=cluster, services=list(names))
        described = {
            each["serviceName"]: _service(each) for each in reply["services"] if _active(each)
        }
        return tuple(described[name] for name in names if name in described)

    def update(self, cluster: str, service: str, definition: str) -> None:
        """As Cloud.update."""
        self._call(
            self.ecs, "update_service", cluster=cluster, service=service, taskDefinition=definition
        )

    def start(self, cluster: str, definition: str, network: Network, by: str) -> Task:
        """As Cloud.start."""
        reply = self._call(
            self.ecs,
            "run_task",
            cluster=cluster,
            taskDefinition=definition,
            launchType="FARGATE",
            startedBy=by,
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": list(network.subnets),
                    "securityGroups": list(network.security_groups),
                    "assignPublicIp": "ENABLED" if network.public_ip else "DISABLED",
                }
            },
        )
        if not reply["tasks"]:
            why = "; ".join(str(each.get("reason")) for each in reply.get("failures", []))
            raise CloudError(f"ECS started no task of {definition.rpartition('/')[2]}: {why}")
        return _task(reply["tasks"][0])

    def task(self, cluster: str, arn: str) -> Task:
        """As Cloud.task."""
        tasks = self._described(cluster, [arn])
        if not tasks:
            raise CloudError(f"ECS no longer knows the task {arn.rpartition('/')[2]}")
        return _task(tasks[0])

    def stop(self, cluster: str, arn: str, reason: str) -> None:
        """As Cloud.stop."""
        self._call(self.ecs, "stop_task", cluster=cluster, task=arn, reason=reason)

    def tasks_of(self, cluster: str, service: str, *, stopped: bool = False) -> tuple[Task, ...]:
        """As Cloud.tasks_of."""
        state = "STOPPED" if stopped else "RUNNING"
        listed = self._call(
            self.ecs, "list_tasks", cluster=cluster, serviceName=service, desiredStatus=state
        )
        tasks = self._described(cluster, listed["taskArns"])
        return tuple(_task(each) for each in tasks if each.get("group") == f"service:{service}")

    def remember(self, parameter: str, image: Image) -> None:
        """As Cloud.remember."""
        self._call(self.ssm, "put_parameter", Name=parameter, Value=str(image), Overwrite=True)

    def log_lines(self, group: str, stream: str, count: int) -> tuple[str, ...]:
        """As Cloud.log_lines."""
        try:
            reply = self._call(
                self.logs,
                "get_log_events",
                logGroupName=group,
                logStreamName=stream,
                limit=count,
                startFromHead=False,
            )
        except CloudError as error:
            if "ResourceNotFoundException" in str(error):
                return ()  # a task that never started has no stream
            raise
        return tuple(str(event["message"]).rstrip() for event in reply["events"])

    def _described(self, cluster: str, arns: list[str]) -> list[Any]:
        # DescribeTasks takes a hundred at most; the newest are as good as any for what is shown.
        if not arns:
            return []
        reply = self._call(self.ecs, "describe_tasks", cluster=cluster, tasks=arns[:100])
        return list(reply["tasks"])

    def _call(self, client: Any, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(client, operation)(**arguments)
        except self.failures as error:
            raise CloudError(f"{operation}: {error}") from error


def connect() -> Aws:
    """The account that the environment's credentials and region name, AWS_ENDPOINT_URL included.

    Raises CannotStart where boto3 is not installed or no region is set.
    """
    try:
        import boto3  # noqa: PLC0415 - it is installed in the deployment's own environment only
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ImportError as error:
        raise CannotStart("boto3 is not installed here: use make deploy") from error
    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"mode": "standard", "max_attempts": 6},
        user_agent_extra="mms-deploy",
    )
    try:
        clients = {
            name: boto3.client(name, config=config) for name in ("ecs", "ecr", "logs", "ssm", "sts")
        }
    except BotoCoreError as error:
        raise CannotStart(f"AWS cannot be asked: {error}; set AWS_REGION") from error
    return Aws(**clients, failures=(BotoCoreError, ClientError))


def _active(described: Mapping[str, Any]) -> bool:
    return bool(described["status"] == "ACTIVE")


def _definition(described: Mapping[str, Any], tags: list[Any]) -> Definition:
    return Definition(
        arn=described["taskDefinitionArn"],
        family=described["family"],
        request=request_of(described, tags),
    )


def _service(described: Mapping[str, Any]) -> Service:
    return Service(
        name=described["serviceName"],
        definition=described["taskDefinition"],
        desired=described["desiredCount"],
        running=described["runningCount"],
        rollouts=tuple(_rollout(each) for each in described.get("deployments", [])),
        events=tuple(each["message"] for each in described.get("events", [])),
    )


def _rollout(described: Mapping[str, Any]) -> Rollout:
    return Rollout(
        primary=described["status"] == "PRIMARY",
        definition=described["taskDefinition"],
        state=described.get("rolloutState", "IN_PROGRESS"),
        reason=described.get("rolloutStateReason", ""),
        failed_tasks=described.get("failedTasks", 0),
    )


def _task(described: Mapping[str, Any]) -> Task:
    codes = [each.get("exitCode") for each in described.get("containers", [])]
    reasons = [described.get("stoppedReason"), *(c.get("reason") for c in described["containers"])]
    return Task(
        arn=described["taskArn"],
        definition=described["taskDefinitionArn"],
        status=described["lastStatus"],
        exit_code=_worst(codes),
        reason="; ".join(dict.fromkeys(str(each) for each in reasons if each)),
    )


def _worst(codes: Sequence[int | None]) -> int | None:
    """The code of a task with several containers: one that never ran or failed is the task's."""
    if not codes or None in codes:
        return None
    return next((code for code in codes if code), 0)
