"""ECS's scheduler in small: services whose tasks follow their revision, with the circuit breaker.

A service behind the load balancer starts its new tasks first and stops the old ones once those are
healthy (minimum 100 %, maximum 200 %); any other stops first (0 %, 100 %). Tasks that do not become
healthy three times in a row end the rollout, and the service goes back to the last revision that
worked.
"""

from __future__ import annotations

import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from infra.rehearsal.balancer import Balancer
from infra.rehearsal.fargate import Fargate, Running

FAILURES: Final = 3
_HEALTHY_WITHIN: Final = 30.0
_STEADY: Final = 1.0
"""Seconds that a task without a health check has to run to count as started."""


class ServiceRunner:
    """Keeps one service's tasks at what its record asks for."""

    def __init__(
        self,
        record: Any,
        fargate: Fargate,
        make: Callable[[Any, str, str], Any],
        balancer: Balancer | None,
        health_path: str,
        deregistration_delay: float = 0.0,
    ) -> None:
        self.record = record
        self._fargate = fargate
        self._make = make
        self._balancer = balancer
        self._health_path = health_path
        self._delay = deregistration_delay
        self._tasks: list[Running] = []
        self._completed: str | None = None
        self._rollout: threading.Thread | None = None
        self._newer = threading.Event()
        self._lock = threading.Lock()
        record.events = []
        record.deployments = []
        self.changed()

    def changed(self) -> None:
        """The record asks for another revision: begin to move there, whatever was under way."""
        self._newer.set()
        if self._rollout is not None:
            self._rollout.join()
        self._newer.clear()
        self._begin(self.record.task_definition)

    def close(self) -> None:
        """Stop every task."""
        self._newer.set()
        if self._rollout is not None:
            self._rollout.join()
        self._stop(self._tasks)
        self._tasks = []

    def settle(self) -> None:
        """Wait until nothing is under way."""
        if self._rollout is not None:
            self._rollout.join()

    def _begin(self, definition: str) -> None:
        for each in self.record.deployments:
            each["status"] = "ACTIVE"
        deployment = {
            "id": f"ecs-svc/{uuid.uuid4().int % 10**19}",
            "status": "PRIMARY",
            "taskDefinition": definition,
            "desiredCount": self.record.desired_count,
            "runningCount": 0,
            "pendingCount": self.record.desired_count,
            "failedTasks": 0,
            "rolloutState": "IN_PROGRESS",
            "rolloutStateReason": "ECS deployment in progress.",
            "launchType": "FARGATE",
            "createdAt": datetime.now(UTC),
            "updatedAt": datetime.now(UTC),
        }
        self.record.deployments = [deployment, *self.record.deployments]
        self.record.pending_count = self.record.desired_count
        self._rollout = threading.Thread(target=self._roll, args=[deployment], daemon=True)
        self._rollout.start()

    def _roll(self, deployment: dict[str, Any]) -> None:
        old = list(self._tasks)
        if self._balancer is None:
            self._stop(old)
            self._count(deployment, [])
        new: list[Running] = []
        while len(new) < self.record.desired_count and not self._newer.is_set():
            task = self._start(deployment)
            if self._healthy(task):
                new.append(task)
                self._count(deployment, [*new, *(old if self._balancer else [])])
                continue
            self._stop([task])
            deployment["failedTasks"] += 1
            if deployment["failedTasks"] >= FAILURES:
                self._give_up(deployment, new, old)
                return
        self._tasks = [*new, *(old if self._newer.is_set() and self._balancer else [])]
        if self._newer.is_set():
            return
        if self._balancer is not None:
            self._stop(old)
        self._complete(deployment)

    def _complete(self, deployment: dict[str, Any]) -> None:
        deployment["rolloutState"] = "COMPLETED"
        deployment["rolloutStateReason"] = f"ECS deployment {deployment['id']} completed."
        self._completed = deployment["taskDefinition"]
        self.record.deployments = [deployment]
        self._count(deployment, self._tasks)
        self._say("has reached a steady state.")

    def _give_up(self, deployment: dict[str, Any], new: list[Running], old: list[Running]) -> None:
        deployment["rolloutState"] = "FAILED"
        deployment["rolloutStateReason"] = "ECS deployment circuit breaker: tasks failed to start."
        self._say("(deployment) deployment failed: tasks failed to start.")
        self._stop(new)
        self._tasks = old if self._balancer is not None else []
        self._count(deployment, self._tasks)
        back = self._completed
        if back is None or back == deployment["taskDefinition"]:
            return  # there is nothing that worked before
        self._say(f"rolling back to {back.rpartition('/')[2]}.")
        self.record.task_definition = back
        if self._balancer is not None:  # the old tasks never stopped
            restored = {
                **deployment,
                "id": f"ecs-svc/{uuid.uuid4().int % 10**19}",
                "taskDefinition": back,
                "failedTasks": 0,
                "pendingCount": 0,
            }
            self._complete(restored)
            return
        self._begin(back)

    def _start(self, deployment: dict[str, Any]) -> Running:
        record = self._make(self.record, deployment["taskDefinition"], deployment["id"])
        self._say(f"has started 1 tasks: (task {record.id}).")
        return self._fargate.launch(record)

    def _healthy(self, task: Running) -> bool:
        """Whether a new task answers its health check, or goes on running where it has none."""
        give_up = time.monotonic() + _HEALTHY_WITHIN
        steady: float | None = None
        while time.monotonic() < give_up and not task.ended.is_set():
            if self._balancer is None:
                if task.begun.is_set() and steady is None:
                    steady = time.monotonic() + _STEADY
                if steady is not None and time.monotonic() > steady:
                    return True
            elif _answers(f"http://127.0.0.1:{task.port}{self._health_path}"):
                self._balancer.register(task.port)
                return True
            task.ended.wait(0.1)
        return False

    def _stop(self, tasks: list[Running]) -> None:
        """Stop tasks, each after the load balancer has let go of it: ECS sends SIGTERM then."""
        for task in tasks:
            if self._balancer is not None:
                self._balancer.deregister(task.port, self._delay)
            self._fargate.stop(task.record.id, f"Scaling activity initiated by {self.record.name}")

    def _count(self, deployment: dict[str, Any], tasks: list[Running]) -> None:
        mine = sum(
            task.record.task_definition_arn == deployment["taskDefinition"] for task in tasks
        )
        deployment["runningCount"] = mine
        deployment["pendingCount"] = max(0, self.record.desired_count - mine)
        deployment["updatedAt"] = datetime.now(UTC)
        self.record.running_count = len(tasks)
        self.record.pending_count = deployment["pendingCount"]

    def _say(self, text: str) -> None:
        event = {
            "id": str(uuid.uuid4()),
            "createdAt": datetime.now(UTC),
            "message": f"(service {self.record.name}) {text}",
        }
        self.record.events = [event, *self.record.events][:100]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - a port of this machine
            return bool(reply.status == 200)
    except OSError:
        return False
