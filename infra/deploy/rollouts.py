"""Whether services have come to rest, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

from infra.deploy.errors import CloudError, Failed
from infra.deploy.model import Cloud, Pace, Service, Target
from infra.deploy.revisions import log_stream

EVENTS: Final = 5


class State(Enum):
    """Where a service is on its way to a revision."""

    MOVING = "moving"
    STABLE = "stable"
    REFUSED = "refused"


def judge(service: Service, revision: str, *, settled: bool) -> tuple[State, str]:
    """Where a service is on its way to `revision`, and why it is refused.

    ECS's circuit breaker marks the deployment as FAILED and makes the earlier revision the primary
    one again; with no earlier one to go back to only the mark is there. Until `settled` a primary
    deployment that is not ours may simply be that of before the update.
    """
    primary = next((each for each in service.rollouts if each.primary), None)
    for each in service.rollouts:
        if each.definition == revision and each.state == "FAILED":
            return State.REFUSED, each.reason or "ECS marked the deployment as failed"
    if primary is None or primary.definition != revision:
        if not settled:
            return State.MOVING, ""
        now = service.definition if primary is None else primary.definition
        return State.REFUSED, f"ECS went back to {_name(now)}: its circuit breaker gave up"
    if (
        primary.state == "COMPLETED"
        and len(service.rollouts) == 1
        and service.running == service.desired
    ):
        return State.STABLE, ""
    return State.MOVING, ""


def wait(
    cloud: Cloud,
    target: Target,
    revisions: Mapping[str, str],
    pace: Pace,
    tell: Callable[[str], None],
) -> None:
    """Return once every service runs its revision and nothing else.

    Raises Failed, with the services' last events and the reasons of stopped tasks, as soon as ECS
    gives one up, or after `pace.stable` seconds.
    """
    began = pace.now()
    seen: set[str] = set()
    shown: dict[str, str] = {}
    while True:
        services = {each.name: each for each in cloud.services(target.cluster, tuple(revisions))}
        resting = 0
        for name, definition in revisions.items():
            if name not in services:
                raise Failed(f"the service {name} is gone from the cluster {target.cluster}")
            service = services[name]
            seen |= {name} if _moves_to(service, definition) else set()
            settled = name in seen or pace.now() - began > pace.settle
            state, why = judge(service, definition, settled=settled)
            if state is State.REFUSED:
                raise Failed(
                    f"{name} did not start: {why}", details(cloud, target, service, definition)
                )
            resting += state is State.STABLE
            line = f"{name}: {service.running} of {service.desired} running, {state.value}"
            if shown.get(name) != line:
                tell(line)
                shown[name] = line
        if resting == len(revisions):
            return
        if pace.now() - began > pace.stable:
            late = [
                n
                for n in revisions
                if judge(services[n], revisions[n], settled=True)[0] != State.STABLE
            ]
            raise Failed(
                f"{', '.join(late)} not stable after {pace.stable:.0f} s",
                tuple(
                    line
                    for name in late
                    for line in details(cloud, target, services[name], revisions[name])
                ),
            )
        pace.sleep(pace.every)


def details(cloud: Cloud, target: Target, service: Service, revision: str) -> tuple[str, ...]:
    """The last events of a service, and how its new tasks ended."""
    lines = [f"event: {text}" for text in service.events[:EVENTS]]
    try:
        stopped = cloud.tasks_of(target.cluster, service.name, stopped=True)
        ours = [task for task in stopped if task.definition == revision][:EVENTS]
        for task in ours:
            code = "" if task.exit_code is None else f", exit code {task.exit_code}"
            lines.append(f"task {task.id} of {_name(task.definition)}: {task.reason}{code}")
        where = log_stream(cloud.definition(revision), ours[-1].id) if ours else None
        if where is not None:
            lines += [f"its log: {line}" for line in cloud.log_lines(*where, EVENTS)]
    except CloudError as error:
        lines.append(f"no more can be told: {error}")
    return tuple(lines)


def _moves_to(service: Service, definition: str) -> bool:
    return any(each.definition == definition for each in service.rollouts)


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]
