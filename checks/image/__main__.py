"""`make image-check`: build the image and prove what docs/deploying.md says of it.

With Docker the base image is pulled by its digest and built upon, as in CI. Without a running
engine, buildah and podman build as root, in their own storage, on a stand-in of the base image that
is made from Debian packages. Nothing is pulled then, and a line says so.

Exit 0 when everything holds, 1 when something does not, 3 when it cannot be tried here.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from checks import engine as engines
from checks import tools
from checks.commands import CommandFailedError, run
from checks.engine import PODMAN_TOOLS, Engine
from checks.image import build, context, entries, figures, layers, rig, secrets, served
from checks.report import FAILED, NOT_RUN, CannotCheckError, Report

_SOFTWARE = "pip|pip3|node|npm|npx|corepack|gcc|cc|c++|g++|make|ld|as|cargo|git|curl|wget"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m checks.image",
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
        help="keep storage and stand-in here for the next run",
    )
    options = parser.parse_args(argv)
    report = Report("image-check")
    with contextlib.ExitStack() as stack:
        try:
            folder = options.work.absolute() if options.work else Path(tempfile.mkdtemp())
            folder.mkdir(parents=True, exist_ok=True)
            if not options.work:
                stack.callback(engines.give_back, folder)
            engine = _engine(options, folder)
            _check(engine, folder, report)
        except CannotCheckError as error:
            sys.stderr.write(f"image-check: cannot be made here: {error}\n")
            return NOT_RUN
        except CommandFailedError as error:
            report.check("the check itself", False, error)
            return FAILED
        return report.finish()


def _engine(options: argparse.Namespace, folder: Path) -> Engine:
    """The engine to use. Raises CannotCheckError where there is none."""
    docker = None if options.engine == "podman" else engines.docker()
    if docker is not None:
        return docker
    if options.engine == "docker":
        raise CannotCheckError("docker info fails: start the Docker engine")
    tools.need_root()
    tools.need([*PODMAN_TOOLS, "mmdebstrap"], install=options.install)
    return engines.podman(folder)


def _check(engine: Engine, folder: Path, report: Report) -> None:
    report.section(f"Build, with {engine.must('--version').strip()}")
    _lint(report)
    base = build.prepare_base(engine, folder, pull=engine.is_docker)
    if base.stand_in:
        report.note(f"STAND-IN: no registry is asked here. What is called {base.name}")
        report.note("is Debian with Debian's Python: size and start are this stand-in's.")
    planted = context.plant(Path(tempfile.mkdtemp(dir=folder)))
    began = time.monotonic()
    try:
        image = build.build(engine, folder, planted, base)
    finally:
        shutil.rmtree(planted.folder)
    report.check(
        "build", True, f"{image[:19]} in {time.monotonic() - began:.0f} s from {base.name}"
    )
    _described(engine, report)
    archive = layers.save(engine, build.TAG, folder / "image.tar")

    report.section("Secrets: planted in the context and in the builder's environment")
    secrets.prove_image(engine, build.TAG, archive, planted, report)

    with rig.exchange() as address:
        setup = rig.Rig(engine, build.TAG, f"mms-check-{os.getpid()}", address)
        try:
            report.section("Entry points, each in a container as in production")
            _software(setup, report)
            entries.prove(setup, report, "data")
            entries.prove_stops(setup, report)
            report.section("Secrets at run time")
            secrets.prove_container(setup, report, folder, "data")
            report.section("The API: --read-only --cap-drop ALL --memory 512m, loaded database")
            served.prove(setup, report, "data")
            report.section("Size and start")
            figures.size(engine, build.TAG, base.name.partition("@")[0], archive, report)
            figures.start(setup, report, "data")
        finally:
            volumes = [f"{setup.name}-{name}" for name in ("data", "slow", "unused")]
            engine.call("volume", "rm", "--force", *volumes)
            archive.unlink()


def _lint(report: Report) -> None:
    program = Path(sys.executable).with_name("hadolint")
    done = run([str(program), str(context.ROOT / "Dockerfile")])
    version = run([str(program), "--version"]).out.strip()
    report.check("hadolint", done.code == 0, done.text.strip() or f"clean ({version})")


def _described(engine: Engine, report: Report) -> None:
    """What the image says of itself."""
    description = engine.inspect("image", build.TAG)
    config = description["Config"]
    labels = config.get("Labels") or {}
    names = ("title", "version", "revision", "base.name")
    missing = [name for name in names if not labels.get(f"org.opencontainers.image.{name}")]
    version, revision = (labels.get(f"org.opencontainers.image.{n}") for n in names[1:3])
    report.check("labels", not missing, f"version {version}, revision {revision}")
    report.equal("user", config["User"], f"{rig.UID}:{rig.UID}")
    health = (config.get("Healthcheck") or description.get("Healthcheck") or {}).get("Test", [])
    report.equal("HEALTHCHECK", health[1:], [*served.HEALTHCHECK])


def _software(setup: rig.Rig, report: Report) -> None:
    """No installer and no compiler: what an intruder would use is not there."""
    script = (
        f"find / -xdev -type f -perm -1 2>/dev/null | grep -E '/({_SOFTWARE})[0-9.-]*$'; "
        "python -c 'import pip' 2>/dev/null && echo pip; "
        "python -c 'import ensurepip' 2>/dev/null && echo ensurepip; "
        "find / -xdev -name 'pip-*.whl' 2>/dev/null; true"
    )
    options = [*setup.options("unused", {}), "--entrypoint", "sh"]
    done = setup.engine.once(setup.image, options, "-c", script)
    programs = done.out.split()
    report.check(
        "no installer, no compiler", done.code == 0 and not programs, programs or "none found"
    )


if __name__ == "__main__":
    sys.exit(main())
