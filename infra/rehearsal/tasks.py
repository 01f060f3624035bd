"""Single tasks, as schedules and operators start them, and how they end."""

from __future__ import annotations

import json
import time
from typing import Any

from infra.rehearsal.stage import Stage


def fire(stage: Stage, schedule: Any) -> Any:
    """Do as EventBridge Scheduler at a schedule: RunTask with the target's parameters."""
    target = schedule["Target"]
    given = target["EcsParameters"]
    network = given["NetworkConfiguration"]["awsvpcConfiguration"]
    overrides = json.loads(target["Input"]) if target.get("Input") else {}
    stage.say(
        f"schedule {schedule['Name']} is due: {given['TaskDefinitionArn'].rpartition('/')[2]}"
    )
    reply = stage.stand_in.client("ecs").run_task(
        cluster=target["Arn"],
        taskDefinition=given["TaskDefinitionArn"],
        launchType=given["LaunchType"],
        count=given.get("TaskCount", 1),
        overrides=overrides,
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": network["Subnets"],
                "securityGroups": network.get("SecurityGroups", []),
                "assignPublicIp": network.get("AssignPublicIp", "DISABLED"),
            }
        },
    )
    return _ended(stage, reply["tasks"][0]["taskArn"])


def run_task(stage: Stage, kind: str, command: list[str] | None = None) -> Any:
    """Run a one-off task as an operator would."""
    family = stage.output("task_families")[kind]
    overrides = {"containerOverrides": [{"name": kind, "command": command}]} if command else {}
    stage.say(f"run-task {family} {' '.join(command or [])}")
    reply = stage.stand_in.client("ecs").run_task(
        cluster=stage.output("cluster_name"),
        taskDefinition=family,
        launchType="FARGATE",
        overrides=overrides,
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": stage.output("private_subnet_ids"),
                "securityGroups": [stage.output("security_group_ids")[kind]],
            }
        },
    )
    return _ended(stage, reply["tasks"][0]["taskArn"])


def _ended(stage: Stage, arn: str) -> Any:
    ecs = stage.stand_in.client("ecs")
    give_up = time.monotonic() + 120.0
    while time.monotonic() < give_up:
        (task,) = ecs.describe_tasks(cluster=stage.output("cluster_name"), tasks=[arn])["tasks"]
        if task["lastStatus"] == "STOPPED":
            why = task.get("stoppedReason", "")
            stage.say(f"task {arn.rpartition('/')[2]} stopped with {exit_code(task)}: {why}")
            return task
        time.sleep(0.2)
    stage.check(False, f"the task {arn} ends within two minutes")
    raise AssertionError


def exit_code(task: Any) -> Any:
    """What the task's one container ended with."""
    return task["containers"][0].get("exitCode")


def last_log(stage: Stage, kind: str) -> str:
    """Everything that tasks of this kind have logged."""
    logs = stage.stand_in.client("logs")
    group = stage.output("log_groups")[kind]
    streams = logs.describe_log_streams(logGroupName=group)["logStreams"]
    events = [
        event["message"]
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    ]
    return "\n".join(events)
