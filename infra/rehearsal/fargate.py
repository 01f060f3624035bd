"""Fargate's stand-in: every task that moto's ECS makes runs as a process of this machine.

moto keeps tasks and services as records and runs nothing. Here a task's record goes through ECS's
states as its process does, and gets that process's exit code and log. `launch` is told of each new
record before whoever asked for it has the reply.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.rehearsal.programs import Program
from infra.rehearsal.world import SecretMissingError, World, free_port

PATIENCE: Final = 60.0
"""Seconds after which the stand-in gives up on a process that should have ended."""


@dataclass
class Running:
    """One task: moto's record of it, and its process once there is one."""

    record: Any
    definition: Any
    port: int = field(default_factory=free_port)
    program: Program | None = None
    begun: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def container(self) -> Mapping[str, Any]:
        """The one container of the task's definition."""
        (only,) = self.definition.container_definitions
        return dict(only)


class Fargate:
    """Starts, watches and stops tasks.

    `images` is what the registry holds, by digest; `release` gives back what a stopped task held.
    """

    def __init__(
        self,
        ecs: Any,
        world: World,
        images: Mapping[str, Path],
        release: Callable[[Running], None],
    ) -> None:
        self._ecs = ecs
        self._release = release
        self._world = world
        self._images = images
        self._running: dict[str, Running] = {}
        self._stopping: dict[str, str] = {}
        self.history: list[Running] = []

    def launch(self, record: Any) -> Running:
        """Begin to run a new record."""
        definition = self._ecs.describe_task_definition(record.task_definition_arn)
        task = Running(record, definition)
        record.last_status = "PROVISIONING"
        (container,) = record.containers
        container.exitCode = None  # moto's records begin with an exit code of 0
        self._running[record.id] = task
        self.history.append(task)
        threading.Thread(target=self._run, args=[task], daemon=True).start()
        return task

    def stop(self, task_id: str, reason: str) -> None:
        """Stop a task as StopTask does: SIGTERM, and SIGKILL after its stopTimeout."""
        task = self._running.get(task_id)
        if task is None:
            return
        self._stopping[task_id] = reason
        task.record.desired_status = "STOPPED"
        task.record.last_status = "STOPPING"
        task.begun.wait(PATIENCE)
        if task.program is not None:
            task.program.stop(float(task.container.get("stopTimeout", 30)))
        task.ended.wait(PATIENCE)

    def stop_all(self) -> None:
        """Stop whatever still runs, at the end of the rehearsal."""
        for task_id in list(self._running):
            self.stop(task_id, "the rehearsal is over")

    @property
    def running(self) -> int:
        """How many tasks run now."""
        return len(self._running)

    def ports(self, name: str) -> list[int]:
        """Where the containers of a name listen that run now, the newest last."""
        running = [task for task in self._running.values() if task.program is not None]
        return [task.port for task in running if task.container["name"] == name]

    def _run(self, task: Running) -> None:
        reason = self._start(task)
        task.begun.set()
        if task.program is not None:
            code = task.program.wait()
            (container,) = task.record.containers
            container.exitCode = code
            container.last_status = "STOPPED"
            reason = "Essential container in task exited"
            self._world.write_log(task.container, task.record.id, task.program.lines)
        self._running.pop(task.record.id, None)
        task.record.stopped_reason = self._stopping.pop(task.record.id, reason)
        task.record.desired_status = "STOPPED"
        task.record.last_status = "STOPPED"
        self._release(task)
        task.ended.set()

    def _start(self, task: Running) -> str:
        """Start the process; why it could not be, in ECS's words, else an empty text."""
        task.record.last_status = "PENDING"
        container = task.container
        name = str(container["image"])
        image = self._images.get(name.rpartition("@")[2])
        if image is None:
            return f"CannotPullContainerError: {name}: not found"
        override = self._override(task)
        try:
            environment = self._world.environment(container, override, task.port)
        except SecretMissingError as error:
            return str(error)
        command = override.get("command") or container.get("command", [])
        with suppress(OSError):
            task.program = Program(image, command, environment)
            task.record.last_status = "RUNNING"
            return ""
        return "CannotStartContainerError: the entry point cannot be run"

    def _override(self, task: Running) -> Mapping[str, Any]:
        """RunTask's containerOverrides for the task's container."""
        given = task.record.overrides.get("containerOverrides", [])
        return next((each for each in given if each["name"] == task.container["name"]), {})
