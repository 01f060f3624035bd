"""The deployment itself: every step in order, and the way back where one fails.

    ready ─▶ register ─▶ migrate ─▶ move the services ─▶ smoke test ─▶ the schedules ─▶ done
                │           │              │                  │              │
                └───────────┴──────────────┴──────────────────┴──────────────┴──▶ take back

New revisions that only this deployment refers to are registered first. Those that a schedule starts
by the family's name come last: until the smoke test has passed, schedules run what they ran before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from infra.deploy import rollouts
from infra.deploy.errors import CannotStart, CloudError, DeployError, Failed, Interrupted
from infra.deploy.model import Cloud, Definition, Image, Pace, Taken, Target, Task
from infra.deploy.report import Report
from infra.deploy.revisions import log_stream, with_image

DEPLOYED: Final = 0
TAKEN_BACK: Final = 1
NOT_STARTED: Final = 2
LEFT_HALFWAY: Final = 3

LOG_LINES: Final = 15

Smoke = Callable[[], None]
"""Tests the service and reports the result. Raises Failed where it is wrong."""


@dataclass(frozen=True)
class Plan:
    """The image to deploy, and the newest revision of each family before that."""

    image: Image
    before: dict[str, Definition]
    serving: dict[str, str]
    """Service to the revision that it runs."""


def prepare(cloud: Cloud, target: Target, image: Image, report: Report) -> Plan:
    """Look at everything that the deployment needs, and change nothing. Raises CannotStart."""
    try:
        report.step("ready", f"account {cloud.account()}, cluster {target.cluster}")
        if not cloud.cluster_active(target.cluster):
            raise CannotStart(f"there is no active cluster {target.cluster}: apply Terraform first")
        services = cloud.services(target.cluster, tuple(target.services))
        missing = set(target.services) - {each.name for each in services}
        if missing:
            raise CannotStart(f"no active service {', '.join(sorted(missing))}: apply Terraform")
        for each in services:
            if len(each.rollouts) > 1:
                raise CannotStart(
                    f"a deployment of {each.name} is under way already: wait until it has ended"
                )
        families = [target.migrate, *target.services.values(), *target.plain, *target.held]
        before = {family: cloud.newest(family) for family in families}
        for definition in before.values():
            with_image(definition, image)
        if not cloud.image_stored(image):
            raise CannotStart(f"the registry does not hold {image}: build and push it first")
    except CloudError as error:
        raise CannotStart(str(error)) from error
    return Plan(image, before, {each.name: each.definition for each in services})


def show(plan: Plan, target: Target, report: Report, *, migrate: bool) -> None:
    """Say what a deployment would do."""
    report.step("plan", f"image {plan.image}")
    if migrate:
        report.step("plan", f"run {target.migrate} with it and wait for its exit code")
    for service, family in target.services.items():
        report.step("plan", f"move {service} on from {_name(plan.serving[service])} ({family})")
    for family in (*target.plain, *target.held):
        report.step("plan", f"a new revision after {plan.before[family].name}")


def deploy(
    cloud: Cloud,
    target: Target,
    plan: Plan,
    smoke: Smoke,
    report: Report,
    pace: Pace,
    *,
    migrate: bool = True,
) -> int:
    """Deploy, or take back what was done; returns the exit code.

    0: the new version serves. 1: it does not, and everything is as it was before (a finished
    migration is not undone). 3: it does not, and taking back failed as well: someone has to look.
    """
    taken = Taken()
    try:
        _carry_out(cloud, target, plan, smoke, report, pace, taken, migrate=migrate)
    except DeployError as error:
        report.problem(str(error), error.details if isinstance(error, Failed) else ())
        waits = not isinstance(error, Interrupted)
        return _take_back(cloud, target, smoke, report, pace, taken, waits=waits)
    return DEPLOYED


def _carry_out(
    cloud: Cloud,
    target: Target,
    plan: Plan,
    smoke: Smoke,
    report: Report,
    pace: Pace,
    taken: Taken,
    *,
    migrate: bool,
) -> None:
    def register(family: str) -> Definition:
        definition = cloud.register(with_image(plan.before[family], plan.image))
        taken.registered.append(definition)
        report.step("register", f"{definition.name} with {plan.image.short}")
        return definition

    if migrate:
        _migrate(cloud, target, register(target.migrate), report, pace)
    targets = {service: register(family).arn for service, family in target.services.items()}
    for family in target.plain:
        register(family)
    for service, arn in targets.items():
        taken.moved[service] = plan.serving[service]
        cloud.update(target.cluster, service, arn)
        report.step("update", f"{service}: {_name(plan.serving[service])} → {_name(arn)}")
    rollouts.wait(cloud, target, targets, pace, lambda line: report.step("wait", line))
    _check_tasks(cloud, target, targets, report)
    smoke()
    for family in target.held:
        register(family)
    if target.image_parameter is not None:
        cloud.remember(target.image_parameter, plan.image)
        report.step("remember", f"{target.image_parameter} names {plan.image.short}")
    report.step("done", f"{plan.image.short} serves; schedules run it from now on")


def _migrate(
    cloud: Cloud, target: Target, definition: Definition, report: Report, pace: Pace
) -> None:
    task = cloud.start(target.cluster, definition.arn, target.network, "deploy")
    report.step("migrate", f"task {task.id} of {definition.name} started")
    try:
        task = _ended(cloud, target, task, report, pace)
    except Failed as error:
        # What it has not committed by then PostgreSQL takes back.
        cloud.stop(target.cluster, task.arn, "the deployment does not wait for it any longer")
        raise type(error)(str(error), _log(cloud, definition, task)) from error
    lines = _log(cloud, definition, task)
    if task.exit_code != 0:
        ended = "never ran" if task.exit_code is None else f"ended with {task.exit_code}"
        raise Failed(f"the migration {ended}: {task.reason or 'no reason given'}", lines)
    report.step("migrate", f"task {task.id} ended with 0")
    for line in lines[-2:]:
        report.note(line)


def _ended(cloud: Cloud, target: Target, task: Task, report: Report, pace: Pace) -> Task:
    began = pace.now()
    while task.status != "STOPPED":
        if pace.now() - began > pace.migration:
            raise Failed(
                f"the migration had not ended after {pace.migration:.0f} s and was stopped"
            )
        pace.sleep(pace.every)
        before, task = task, cloud.task(target.cluster, task.arn)
        if task.status not in (before.status, "STOPPED"):
            report.step("migrate", f"task {task.id} is {task.status}")
    return task


def _log(cloud: Cloud, definition: Definition, task: Task) -> tuple[str, ...]:
    """Where the task's log stands, and its last lines."""
    where = log_stream(definition, task.id)
    if where is None:
        return ("its log does not go to CloudWatch",)
    group, stream = where
    head = f"log: aws logs get-log-events --log-group-name {group} --log-stream-name {stream}"
    try:
        lines = cloud.log_lines(group, stream, LOG_LINES)
    except CloudError as error:
        return (head, str(error))
    return (head, *lines) if lines else (head, "it is empty")


def _check_tasks(cloud: Cloud, target: Target, expected: dict[str, str], report: Report) -> None:
    """Every task of every service runs the new revision, whatever the service says of itself."""
    for service, arn in expected.items():
        tasks = cloud.tasks_of(target.cluster, service)
        others = sorted({_name(each.definition) for each in tasks if each.definition != arn})
        if others:
            raise Failed(f"{service} still runs tasks of {', '.join(others)}")
        report.step("stable", f"{service}: {len(tasks)} of {_name(arn)}")


def _take_back(
    cloud: Cloud,
    target: Target,
    smoke: Smoke,
    report: Report,
    pace: Pace,
    taken: Taken,
    *,
    waits: bool,
) -> int:
    code = TAKEN_BACK
    try:
        now = {each.name: each for each in cloud.services(target.cluster, tuple(taken.moved))}
        for service, arn in taken.moved.items():
            if now[service].definition == arn:
                report.step("back", f"{service}: ECS is back at {_name(arn)} already")
            else:
                report.step("back", f"{service}: → {_name(arn)}")
                cloud.update(target.cluster, service, arn)
        if taken.moved and waits:
            rollouts.wait(cloud, target, taken.moved, pace, lambda line: report.step("back", line))
            smoke()
        elif taken.moved:
            code = LEFT_HALFWAY
    except (DeployError, KeyError) as error:
        report.problem(
            f"taking back failed: {error}", error.details if isinstance(error, Failed) else ()
        )
        code = LEFT_HALFWAY
    for definition in taken.registered:
        # A schedule starts its family's newest active revision, and the next deployment copies it.
        try:
            cloud.deregister(definition.arn)
        except CloudError as error:
            report.problem(f"{definition.name} could not be deregistered: {error}")
            code = LEFT_HALFWAY
    _conclude(report, taken, code, waits=waits)
    return code


def _conclude(report: Report, taken: Taken, code: int, *, waits: bool) -> None:
    if code == LEFT_HALFWAY:
        told = "was asked for, and not waited for" if not waits else "did not succeed"
        report.step("failed", f"not deployed, and the way back {told}: look at the services")
    elif taken.moved:
        report.step("failed", "not deployed: rolled back, the version of before serves again")
    else:
        report.step("failed", "not deployed: the version of before was never touched and serves on")


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]
