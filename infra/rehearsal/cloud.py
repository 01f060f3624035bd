"""AWS's stand-in: moto's server in this process, with Fargate, load balancer and gaps filled in.

Everything else is asked over HTTP at `url`, by the same calls as of AWS: Terraform's provider,
boto3, the deployment. Known differences: permissions are not enforced, schedules fire only when
`fire` is called, alarms never ring, and nothing here tells whether an AMI, a size or a quota exists
in a region.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.rehearsal import gaps
from infra.rehearsal.balancer import Balancer
from infra.rehearsal.fargate import Fargate, Running
from infra.rehearsal.services import ServiceRunner
from infra.rehearsal.world import World

ACCOUNT: Final = "123456789012"
REGION: Final = "us-east-1"

_DELAY: Final = "deregistration_delay.timeout_seconds"

ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "rehearsal",
    "AWS_SECRET_ACCESS_KEY": "rehearsal",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a program needs besides AWS_ENDPOINT_URL to take the stand-in for AWS."""


@dataclass
class StandIn:
    """The running stand-in; `images` is what its registry holds, digest to folder."""

    url: str
    world: World
    ecs: Any
    rds: Any
    elb: Any
    balancer: Balancer = field(default_factory=Balancer)
    images: dict[str, Path] = field(default_factory=dict)
    services: dict[str, ServiceRunner] = field(default_factory=dict)
    fargate: Fargate = field(init=False)

    def __post_init__(self) -> None:
        self.fargate = Fargate(self.ecs, self.world, self.images, _release_network)

    def client(self, name: str) -> Any:
        """A boto3 client of the stand-in."""
        return _client(name, self.url)

    def database_password(self, identifier: str) -> str:
        """The password that RDS was given for its user."""
        # Neither RDS nor moto's record tells it; the test is that tasks can sign in.
        password = self.rds.databases[identifier]._master_user_password
        assert isinstance(password, str)
        return password

    def settle(self) -> None:
        """Wait until no service is on its way anywhere."""
        for service in self.services.values():
            service.settle()

    def close(self) -> None:
        """End every process."""
        for service in self.services.values():
            service.close()
        self.fargate.stop_all()
        self.balancer.close()

    def _wire(self) -> None:
        """Tell Fargate and the services of what moto's ECS is asked to do."""
        ecs = self.ecs
        run, stop = ecs.run_task, ecs.stop_task
        create, update, delete = ecs.create_service, ecs.update_service, ecs.delete_service

        describe = ecs.describe_task_definition

        def describe_active(task_definition_str: str) -> Any:
            """A family's name means its newest active revision; moto takes the newest of all."""
            family = task_definition_str.rpartition("/")[2]
            revisions = ecs.task_definitions.get(family, {}).values()
            active = [each.revision for each in revisions if each.status == "ACTIVE"]
            return describe(f"{family}:{max(active)}" if active else task_definition_str)

        def run_task(*arguments: Any, **named: Any) -> Any:
            records = run(*arguments, **named)
            for record in records:
                self.fargate.launch(record)
            return records

        def stop_task(cluster: str, task: str, reason: str) -> Any:
            self.fargate.stop(task.rpartition("/")[2], reason)
            return stop(cluster, task, reason)

        def create_service(*arguments: Any, **named: Any) -> Any:
            record = create(*arguments, **named)
            balanced = record.load_balancers or []
            groups = [self.elb.target_groups[each["targetGroupArn"]] for each in balanced]
            path = groups[0].health_check_path if groups else ""
            delay = float(groups[0].attributes[_DELAY]) if groups else 0.0
            balancer = self.balancer if groups else None
            runner = ServiceRunner(record, self.fargate, make, balancer, path, delay)
            self.services[record.name] = runner
            return record

        def update_service(properties: dict[str, Any]) -> Any:
            name = properties["service"].rpartition("/")[2]
            runner = self.services[name]
            before = (runner.record.task_definition, runner.record.desired_count)
            record = update(properties)
            if (record.task_definition, record.desired_count) != before:
                runner.changed()
            return record

        def delete_service(cluster: str, name: str, force: bool) -> Any:
            runner = self.services.pop(name.rpartition("/")[2], None)
            if runner is not None:
                runner.close()
            return delete(cluster, name, force)

        def make(service: Any, definition: str, deployment: str) -> Any:
            (record,) = run(
                service.cluster_name,
                definition,
                1,
                None,
                deployment,
                None,
                "FARGATE",
                service.network_configuration,
                f"service:{service.name}",
            )
            return record

        ecs.describe_task_definition = describe_active
        # moto adds up what containers ask for; on Fargate only the task has a size.
        nothing = {"CPU": 0, "MEMORY": 0, "PORTS": [], "PORTS_UDP": []}
        ecs._calculate_task_resource_requirements = lambda _definition: dict(nothing)
        ecs.run_task, ecs.stop_task = run_task, stop_task
        ecs.create_service, ecs.update_service = create_service, update_service
        ecs.delete_service = delete_service


@contextmanager
def running() -> Iterator[StandIn]:
    """Start the stand-in on a free port of loopback; end it and every process at the end."""
    os.environ.update(ENVIRONMENT)
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    # moto takes seconds to import and reads the environment while it does.
    from moto.ecs.models import ecs_backends  # noqa: PLC0415
    from moto.elbv2.models import elbv2_backends  # noqa: PLC0415
    from moto.moto_api import state_manager  # noqa: PLC0415
    from moto.rds.models import rds_backends  # noqa: PLC0415
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    gaps.fill()
    # A task's state follows its process, never the number of times that someone looks.
    state_manager.set_transition("ecs::task", {"progression": "manual", "times": 2**40})
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    os.environ["AWS_ENDPOINT_URL"] = url
    stand_in = StandIn(
        url,
        World(_client("secretsmanager", url), _client("logs", url)),
        ecs_backends[ACCOUNT][REGION],
        rds_backends[ACCOUNT][REGION],
        elbv2_backends[ACCOUNT][REGION],
    )
    stand_in._wire()
    try:
        yield stand_in
    finally:
        stand_in.close()
        stopping = threading.Thread(target=server.stop, daemon=True)
        stopping.start()
        stopping.join(10.0)


def _client(name: str, url: str) -> Any:
    import boto3  # noqa: PLC0415 - it is installed in the rehearsal's own environment only

    return boto3.client(name, endpoint_url=url, region_name=REGION)


def _release_network(task: Running) -> None:
    """Give back the network interface of a stopped task; moto would keep it for ever."""
    from moto.ec2.models import ec2_backends  # noqa: PLC0415

    details = [detail for each in task.record.attachments for detail in each["details"]]
    for detail in details:
        if detail["name"] == "networkInterfaceId":
            ec2_backends[ACCOUNT][REGION].delete_network_interface(detail["value"])
    task.record.attachments = []
