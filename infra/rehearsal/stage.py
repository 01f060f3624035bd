"""The common parts of the acts: the stand-in, the programs around it, and their log."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from infra.rehearsal import cloud, database, keys
from infra.rehearsal.cloud import StandIn
from infra.rehearsal.database import Database
from infra.rehearsal.keys import Key
from infra.rehearsal.world import ROOT, MissingHereError, free_port

PATIENCE: Final = 1_500.0
BUCKET: Final = "mms-rehearsal-state"
_PYTHON: Final = ROOT / ".venv" / "bin" / "python"


class ActFailed(Exception):
    """Something is not as the rehearsal expects it; the text says what."""


@dataclass
class Stage:
    """Everything that the acts work with."""

    folder: Path
    stand_in: StandIn
    database: Database
    exchange: str
    cache: int
    environment: dict[str, str]
    deploy_python: str
    began: float = field(default_factory=time.monotonic)
    figures: dict[str, object] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    first_key: Key = field(default_factory=lambda: keys.new("first"))
    second_key: Key = field(default_factory=lambda: keys.new("second"))

    @property
    def outputs_file(self) -> Path:
        """Where `apply` puts Terraform's outputs."""
        return self.folder / "outputs.json"

    def output(self, name: str) -> Any:
        """One of Terraform's outputs."""
        return json.loads(self.outputs_file.read_text(encoding="utf-8"))[name]["value"]

    def say(self, text: str) -> None:
        """One line of the rehearsal's own log."""
        sys.stdout.write(f"[{time.monotonic() - self.began:7.1f} s] {text}\n")
        sys.stdout.flush()

    def act(self, text: str) -> None:
        """The heading of an act."""
        sys.stdout.write(f"\n=== {text}\n")
        self.say("begins")

    def check(self, holds: bool, text: str) -> None:
        """Say that something holds, or raise ActFailed."""
        if not holds:
            raise ActFailed(f"not so: {text}")
        self.figures["assertions"] = int(str(self.figures.get("assertions", 0))) + 1
        self.say(f"ok: {text}")

    def run(self, command: Sequence[str], **environment: str) -> tuple[int, str]:
        """Run a command of the project, show what it says, and return its exit code and that."""
        self.say(f"$ {' '.join(_shown(word) for word in command)}")
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        killer = threading.Timer(PATIENCE, process.kill)
        killer.start()
        said: list[str] = []
        try:
            assert process.stdout is not None
            with process.stdout as stream:
                for line in stream:
                    said.append(line)
                    if not {"plan", "destroy"} & {*command}:  # thousands of lines, checked below
                        sys.stdout.write(f"    {line}")
            return process.wait(), "".join(said)
        finally:
            killer.cancel()

    def deploy(self, image: str, *options: str) -> tuple[int, str]:
        """Run the deployment as in production; only endpoint and URL are the stand-in's."""
        command = [self.deploy_python, "-m", "infra.deploy", "--every", "0.5", "--image", image]
        command += ["--outputs", str(self.outputs_file), "--url", self.stand_in.balancer.url]
        return self.run([*command, *options])

    def image(self, name: str) -> str:
        """The full name, by digest, of an image that was pushed."""
        return f"{self.output('ecr_repository_url')}@{self.digests[name]}"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        client: str = "127.0.0.1",
        at: str = "",
        **headers: str,
    ) -> tuple[int, Message, bytes]:
        """What the service answers a client, through the load balancer. Raises OSError.

        With `at`, a URL, it is asked there, as somebody inside the VPC would.
        """
        where = urlsplit(at or self.stand_in.balancer.url)
        connection = HTTPConnection(
            where.hostname or "", where.port, timeout=10, source_address=(client, 0)
        )
        try:
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        except HTTPException as error:
            raise ConnectionError(f"no HTTP reply: {error!r}") from error
        finally:
            connection.close()

    def get(self, path: str, client: str = "127.0.0.1") -> Any:
        """The JSON of a reply with 200. Raises OSError where it is another one."""
        status, _, body = self.ask(path, client=client)
        if status != 200:
            raise ConnectionError(f"{path} answers {status}")
        return json.loads(body)

    def revision(self) -> str:
        """The schema version in the database."""
        return self.database.ask("SELECT version_num FROM alembic_version", "mms")


@contextmanager
def opened(folder: Path, deploy_python: str) -> Iterator[Stage]:
    """Start everything; end everything. Raises MissingHereError for what is not installed here."""
    programs = database.tools()
    memcached = shutil.which("memcached")
    if memcached is None:
        raise MissingHereError("memcached is not installed")
    if not _PYTHON.exists():
        raise MissingHereError(".venv is missing: run make install")
    with ExitStack() as stack:
        server = stack.enter_context(database.running(programs))
        cache = free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        stack.enter_context(
            _process([memcached, "-l", "127.0.0.1", "-p", str(cache), *user], folder)
        )
        port = free_port()
        exchange = f"http://127.0.0.1:{port}"
        command = [str(_PYTHON), "-m", "app.sandbox", "--port", str(port)]
        stack.enter_context(_process(command, folder, PYTHONPATH=str(ROOT)))
        _wait_for(f"{exchange}/api/v4/symbols")
        stand_in = stack.enter_context(cloud.running())
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        also = {name: value for name, value in os.environ.items() if name.startswith("TF_PROVIDER")}
        environment = {
            **kept,
            **also,
            **cloud.ENVIRONMENT,
            "AWS_ENDPOINT_URL": stand_in.url,
            "TF_DATA_DIR": str(folder / "terraform"),
            "TF_IN_AUTOMATION": "1",
            "MMS_ENVIRONMENT": "dev",
            "TF_STATE_BUCKET": BUCKET,
            "DEPLOY_OUTPUTS": str(folder / "outputs.json"),
            # The one thing about the state that differs: loopback has no names for buckets.
            "TF_CLI_ARGS_init": "-backend-config=use_path_style=true",
        }
        yield Stage(folder, stand_in, server, exchange, cache, environment, deploy_python)


def _shown(word: str) -> str:
    """A word of a command as people need it: a program's name, a digest's beginning."""
    if "@sha256:" in word:
        return f"…@sha256:{word.rpartition(':')[2][:12]}…"
    return Path(word).name if word.startswith("/") else word


@contextmanager
def _process(command: Sequence[str], folder: Path, **environment: str) -> Iterator[None]:
    kept = {"PATH": os.environ["PATH"], **environment}
    log = (folder / f"{Path(command[0]).name}.log").open("w")
    with log, subprocess.Popen(command, cwd=folder, env=kept, stdout=log, stderr=log) as child:
        try:
            yield
        finally:
            child.terminate()
            child.wait(10)


def _wait_for(url: str) -> None:
    give_up = time.monotonic() + 30.0
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a port of this machine
                return
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)


@contextmanager
def watched(stage: Stage) -> Iterator[dict[str, int]]:
    """Ask the service again and again meanwhile, as many clients, and count how it answers."""
    counts = {"requests": 0, "failed": 0}
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            counts["requests"] += 1
            try:
                # All as one would be more than one client may ask (RATE_LIMIT).
                client = f"127.0.1.{counts['requests'] % 200 + 1}"
                stage.get("/BRLBTC/mms?range=20", client)
            except OSError:
                counts["failed"] += 1

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield counts
    finally:
        over.set()
        asking.join(15.0)
