"""The containers of one profile, started in the order and by the conditions of docker-compose.yml.

With Docker scripts/compose.sh starts them, as for everyone, and Compose waits. The podman of Debian
12 cannot wait for health. There each service is started alone, once the services that it needs are
in the state that the file asks for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from checks import commands
from checks.commands import CommandFailedError, Done
from checks.compose.services import COMPLETED, HEALTHY, PROFILES, Service
from checks.engine import Engine
from checks.image.context import ROOT

PATIENCE: Final = 150.0

Told = Callable[[Service, float], None]


@dataclass(frozen=True)
class Stack:
    """One run of the file. `settings` is the environment that the file is read with."""

    engine: Engine
    project: str
    profile: str
    settings: Mapping[str, str]

    def compose(
        self, *arguments: str, profiles: Sequence[str] = (), timeout: float = PATIENCE
    ) -> Done:
        """Run the Compose program for this project and its profile, or for other profiles."""
        if self.engine.is_docker:
            program = ["docker", "compose"]
        else:
            program = [str(Path(sys.executable).with_name("podman-compose"))]
        chosen = [word for name in profiles or [self.profile] for word in ("--profile", name)]
        command = [*program, "--project-name", self.project, *chosen, *arguments]
        environment = {**self.engine.environment, **self.settings}
        return commands.run(command, environment=environment, timeout=timeout, folder=ROOT)

    def config(self) -> str:
        """The file as Compose reads it. Raises CommandFailedError where it cannot."""
        done = self.compose("config")
        if done.code:
            raise CommandFailedError(f"config of {self.profile}: {done.text.strip()[-800:]}")
        return done.out

    def start(self, services: Sequence[Service], told: Told | None = None) -> None:
        """Start the services, each when it may; `told` gets each one and the seconds it waited."""
        told = told or (lambda *_: None)
        if self.engine.is_docker:
            began = time.monotonic()
            self._run_in_docker(service.name for service in services)
            for service in services:
                told(service, time.monotonic() - began)
            return
        for service in services:
            began = time.monotonic()
            for need, state in service.needs.items():
                self.await_state(need, state)
            waited = time.monotonic() - began
            self._up("--no-deps", "--no-build", service.name)
            told(service, waited)

    def await_state(self, name: str, state: str) -> None:
        """Wait until a service is in the state that a dependency asks for."""
        reached = self.healthy if state == HEALTHY else self.running
        if state == COMPLETED:
            reached = self.completed
        deadline = time.monotonic() + PATIENCE
        while not reached(name):
            if time.monotonic() > deadline:
                tail = self.logs(name)[-800:]
                raise CommandFailedError(f"{name} never got to {state}; its log ends: {tail}")
            time.sleep(0.3)

    def container(self, name: str) -> str:
        """The id of a service's container; empty where there is none."""
        labels = [f"label=com.docker.compose.{key}" for key in ("project", "service")]
        words = ["--filter", f"{labels[0]}={self.project}", "--filter", f"{labels[1]}={name}"]
        return self.engine.must("ps", "--all", "--quiet", *words).strip()

    def state(self, name: str) -> Mapping[str, Any]:
        """What the engine says of a service's container."""
        container = self.container(name)
        if not container:
            return {"Status": "absent"}
        state: Mapping[str, Any] = self.engine.inspect("container", container)["State"]
        return state

    def running(self, name: str) -> bool:
        """Whether it runs."""
        return self.state(name).get("Status") == "running"

    def healthy(self, name: str) -> bool:
        """Whether its health check passes: as the engine last found it, or asked now by podman."""
        if self.engine.is_docker:
            health: str = (self.state(name).get("Health") or {}).get("Status", "")
            return health == "healthy"
        return self.engine.call("healthcheck", "run", self.container(name)).code == 0

    def completed(self, name: str) -> bool:
        """Whether it has ended well. Raises CommandFailedError where it has ended otherwise."""
        state = self.state(name)
        if state.get("Status") not in ("exited", "stopped"):
            return False
        if state.get("ExitCode") != 0:
            raise CommandFailedError(
                f"{name} ended with {state.get('ExitCode')}: {self.logs(name)[-800:]}"
            )
        return True

    def logs(self, name: str) -> str:
        """What its container has printed."""
        return self.engine.call("logs", self.container(name)).text

    def inside(self, name: str, *command: str) -> Done:
        """Run a program in its container."""
        return self.engine.call("exec", self.container(name), *command)

    def stop(self, name: str) -> tuple[int, float]:
        """Stop it in order; its exit code and the seconds that took."""
        began = time.monotonic()
        container = self.container(name)
        self.engine.must("stop", "-t", "30", container)
        code: int = self.engine.inspect("container", container)["State"]["ExitCode"]
        return code, time.monotonic() - began

    def again(self, name: str) -> None:
        """Start it once more after a stop."""
        self.engine.must("start", self.container(name))

    def described(self) -> str:
        """All that the engine tells of the project's containers."""
        word = f"label=com.docker.compose.project={self.project}"
        names = self.engine.must("ps", "--all", "--quiet", "--filter", word).split()
        return json.dumps([self.engine.inspect("container", name) for name in names])

    def down(self) -> None:
        """Remove the containers of every profile, the network and the volumes."""
        self.compose("down", "--volumes", "--timeout", "5", profiles=PROFILES)

    def _run_in_docker(self, names: Iterable[str]) -> None:
        """Run `make run_in_docker` with these services in the background; it builds our image."""
        script = ["sh", str(ROOT / "scripts" / "compose.sh"), "--project-name", self.project]
        command = [*script, "--profile", self.profile, "--", "--detach", *names]
        environment = {**self.engine.environment, **self.settings}
        done = commands.run(command, environment=environment, timeout=1_200.0, folder=ROOT)
        if done.code:
            raise CommandFailedError(f"scripts/compose.sh: {done.text.strip()[-1200:]}")

    def _up(self, *words: str) -> None:
        done = self.compose("up", "--detach", *words, timeout=600.0)
        if done.code:
            raise CommandFailedError(f"up {words[-1]}: {done.text.strip()[-1200:]}")
