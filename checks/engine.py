"""Docker, or podman with buildah: whichever is at hand, driven through the same few words.

Podman gets its own storage and configuration in the folder of the check. So none of the user's
images, containers, volumes or settings is touched or needed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from checks import commands
from checks.commands import Done

PODMAN_TOOLS: Final = ("buildah", "podman", "runc")

# crun and the default limits fail on kernels without cgroup v2 or with few processes allowed.
# Events go to a file, because there may be no journal.
_CONTAINERS: Final = """\
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=1000:1000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{folder}/tmp"
"""
_BRIDGE: Final = """\
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
"""
_STORAGE: Final = """\
[storage]
driver = "overlay"
graphroot = "{folder}/store"
runroot = "{folder}/run"
"""
# podman says this about its health timers where systemd does not run; it is no error.
_NOISE: Final = ("unable to get systemd connection",)


@dataclass(frozen=True)
class Engine:
    """One way to build and run containers. `program` speaks docker's command line."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """Where its program is run; podman's helper leaves a file there when memory runs out."""

    @property
    def hard(self) -> tuple[str, ...]:
        """The options of `run` for a read-only root and 512 MB without swap."""
        if self.is_docker:
            return ("--read-only", "--memory", "512m", "--memory-swap", "512m")
        return ("--read-only", "--read-only-tmpfs=false", "--memory", "512m")

    @property
    def is_docker(self) -> bool:
        """Whether it is Docker itself."""
        return self.program == "docker"

    def call(self, *arguments: str, timeout: float = 120.0) -> Done:
        """Run the engine's program, however it ends."""
        command = [self.program, *arguments]
        done = commands.run(
            command, environment=self.environment, timeout=timeout, folder=self.folder
        )
        lines = done.err.splitlines(keepends=True)
        kept = [line for line in lines if not any(noise in line for noise in _NOISE)]
        return Done(done.code, done.out, "".join(kept))

    def must(self, *arguments: str, timeout: float = 120.0) -> str:
        """Run it, and raise CommandFailedError where it fails; returns its standard output."""
        done = self.call(*arguments, timeout=timeout)
        if done.code:
            raise commands.CommandFailedError(
                f"{self.program} {arguments[0]} ended with {done.code}: {done.text.strip()[-800:]}"
            )
        return done.out

    def inspect(self, kind: str, name: str) -> Any:
        """What the engine knows about an image or a container."""
        (description,) = json.loads(self.must(kind, "inspect", name))
        return description

    def has_image(self, name: str) -> bool:
        """Whether the image is here already."""
        return self.call("image", "inspect", name).code == 0

    def start(self, name: str, image: str, options: Sequence[str], *words: str) -> None:
        """Start a container in the background, on this machine's network."""
        self.must("run", "--detach", "--network", "host", "--name", name, *options, image, *words)

    def once(self, image: str, options: Sequence[str], *words: str, timeout: float = 180.0) -> Done:
        """Run a container to its end and remove it; the exit code is the container's."""
        return self.call(
            "run", "--rm", "--network", "host", *options, image, *words, timeout=timeout
        )

    def remove(self, *names: str) -> None:
        """Remove containers, running or not, with what they wrote."""
        self.call("rm", "--force", "--volumes", *names)


def docker() -> Engine | None:
    """Docker, where its program is installed and its engine answers."""
    if shutil.which("docker") is None:
        return None
    engine = Engine("docker")
    return engine if engine.call("info", timeout=20.0).code == 0 else None


def podman(folder: Path, *, bridge: bool = False) -> Engine:
    """Podman, with all of its data below `folder`; with `bridge`, networks of containers too."""
    for name in ("store", "run", "tmp", "networks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    configuration = _CONTAINERS + (_BRIDGE if bridge else "")
    (folder / "containers.conf").write_text(configuration.format(folder=folder))
    (folder / "storage.conf").write_text(_STORAGE.format(folder=folder))
    return Engine(
        "podman",
        {
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "BUILDAH_ISOLATION": "chroot",
            "BUILDAH_FORMAT": "docker",  # the OCI format has no HEALTHCHECK
        },
        folder,
    )


def forget_containers(folder: Path) -> None:
    """Clear what is left below `folder` of containers that a run before did not get to remove."""
    for name in ("run", "tmp", "store/libpod", "store/overlay-containers", "store/volumes"):
        shutil.rmtree(folder / name, ignore_errors=True)


def give_back(folder: Path) -> None:
    """Unmount and remove what podman kept below `folder`."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed(mounts):
        if Path(mount).is_relative_to(folder):
            commands.run(["umount", "--lazy", mount])
    shutil.rmtree(folder, ignore_errors=True)
