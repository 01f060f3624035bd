"""What the cloud would give a task beside its process: addresses, secrets, a log.

A task's environment is that of its task definition, with its secrets read from Secrets Manager by
the same call that ECS makes. Five things differ, because this is one machine: the addresses of RDS,
ElastiCache and the load balancer are those of programs on loopback, and the API listens on loopback
at a free port.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class MissingHereError(Exception):
    """A program that the rehearsal needs is not on this machine."""


class SecretMissingError(Exception):
    """A secret that a task needs has no value; the text is ECS's own."""


ROOT = Path(__file__).resolve().parents[2]


@dataclass
class World:
    """Clients of the stand-in for AWS, and whose address is really where on this machine."""

    secrets: Any
    logs: Any
    addresses: dict[str, str] = field(default_factory=dict)

    def environment(
        self, container: Mapping[str, Any], override: Mapping[str, Any], port: int
    ) -> dict[str, str]:
        """The environment of a task's container. Raises SecretMissingError."""
        named = {each["name"]: each["value"] for each in container.get("environment", [])}
        named |= {each["name"]: each["value"] for each in override.get("environment", [])}
        named |= {each["name"]: self._secret(each) for each in container.get("secrets", [])}
        given = {name: self._local(value) for name, value in named.items()}
        if "PORT" in given:
            given |= {"PORT": str(port), "HOST": "127.0.0.1"}
        # The image has its Python first on the PATH and writes no byte code; so has this.
        path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.defpath}"
        return {"PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **given}

    def write_log(self, container: Mapping[str, Any], task: str, lines: Sequence[str]) -> None:
        """What the awslogs driver does with a task's output."""
        options = container["logConfiguration"]["options"]
        group = options["awslogs-group"]
        stream = f"{options['awslogs-stream-prefix']}/{container['name']}/{task}"
        self.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines if line]
        for start in range(0, len(events), 1_000):
            self.logs.put_log_events(
                logGroupName=group, logStreamName=stream, logEvents=events[start : start + 1_000]
            )

    def _secret(self, reference: Mapping[str, Any]) -> str:
        try:
            reply = self.secrets.get_secret_value(SecretId=reference["valueFrom"])
        except self.secrets.exceptions.ClientError as error:
            raise SecretMissingError(
                f"ResourceInitializationError: {reference['name']}: {error}"
            ) from error
        return str(reply["SecretString"])

    def _local(self, value: str) -> str:
        for far, near in self.addresses.items():
            value = value.replace(far, near)
        return value


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
