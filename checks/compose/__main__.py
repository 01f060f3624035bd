"""`make compose-check`: run docker-compose.yml, every profile of it, and prove what it promises.

With Docker the other services' images are pulled. Without a running engine, podman-compose runs the
file as root, in its own storage and network. Its images are made from Debian packages under the
names in the file. What Debian does not have is left out, and a line says so.

Exit 0: everything that ran holds. 1: something does not. 3: it cannot be tried here.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from checks import engine as engines
from checks import tools
from checks.commands import CommandFailedError, must
from checks.compose import services, standins
from checks.engine import PODMAN_TOOLS, Engine
from checks.image import build, context
from checks.image.context import ROOT
from checks.report import FAILED, NOT_RUN, CannotCheckError

_NETWORK_TOOLS: Final = ("netavark", "aardvark-dns", "iptables", "ip", "unshare")

_APART: Final = (
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.compose",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--engine", choices=["docker", "podman"], help="use this one only")
    parser.add_argument(
        "--install", action="store_true", help="install missing Debian packages, as root"
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="keep storage and stand-ins here for the next run",
    )
    parser.add_argument(
        "--profile",
        choices=services.PROFILES,
        action="append",
        help="run this one only; several times",
    )
    options = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        try:
            folder = options.work.absolute() if options.work else Path(tempfile.mkdtemp())
            folder.mkdir(parents=True, exist_ok=True)
            if not options.work:
                stack.callback(engines.give_back, folder)
            engine = _engine(options, folder)
            left_out = _images(engine, folder)
            return _run(engine, folder, options.profile or services.PROFILES, left_out)
        except CannotCheckError as error:
            sys.stderr.write(f"compose-check: cannot be made here: {error}\n")
            return NOT_RUN
        except CommandFailedError as error:
            sys.stderr.write(f"compose-check: {error}\n")
            return FAILED


def _engine(options: argparse.Namespace, folder: Path) -> Engine:
    docker = None if options.engine == "podman" else engines.docker()
    if docker is not None:
        if docker.call("compose", "version").code:
            raise CannotCheckError("docker has no compose: install its plug-in docker-compose-v2")
        return docker
    if options.engine == "docker":
        raise CannotCheckError("docker info fails: start the Docker engine")
    tools.need_root()
    tools.need([*PODMAN_TOOLS, *_NETWORK_TOOLS, "mmdebstrap"], install=options.install)
    return engines.podman(folder)


def _images(engine: Engine, folder: Path) -> list[str]:
    """Have every image at hand; returns the services whose image cannot be had here."""
    say = sys.stdout.write
    must(["sh", str(ROOT / "scripts" / "secrets.sh"), str(folder / "secrets")])
    every = services.read()
    images = [service.image for service in every.values() if "mms-api" not in service.image]
    if engine.is_docker:  # ours is built by the script that starts the stack
        for image in dict.fromkeys(images):
            engine.must("pull", "--quiet", image, timeout=900.0)
        return []
    base = build.prepare_base(engine, folder, pull=False)
    planted = context.plant(Path(tempfile.mkdtemp(dir=folder)))
    try:
        build.build(engine, folder, planted, base)
    finally:
        shutil.rmtree(planted.folder)
    say("STAND-INS: no registry is asked here. The base image and the other services' images are\n")
    say("made from Debian 12's packages under the names that docker-compose.yml gives.\n")
    say("They prove the file and our configuration, and nothing about the registry's images.\n")
    sys.stdout.flush()
    absent = standins.make(engine, folder, images)
    return [name for name, service in every.items() if service.image in absent]


def _run(engine: Engine, folder: Path, profiles: Sequence[str], left_out: Sequence[str]) -> int:
    """Start the run; with podman where it sees no network, and where nothing outlives it."""
    command = [sys.executable, "-m", "checks.compose.inside", str(folder), engine.program]
    command += [word for name in left_out for word in ("--left-out", name)]
    if not engine.is_docker:
        command = [*_APART, *command]
    return subprocess.run([*command, *profiles], cwd=ROOT, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
