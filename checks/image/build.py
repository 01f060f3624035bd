"""Building the image: with Docker from a base by digest, else with buildah from a stand-in."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import __version__
from checks import commands, standin
from checks.engine import Engine
from checks.image.context import ROOT, Context, revision
from infra.release import image

TAG: Final = "localhost/mms-api:check"

_NEWEST_GLIBC: Final = 36
"""The last number of Debian 12's glibc, 2.36: what wheels may ask for."""


@dataclass(frozen=True, slots=True)
class Base:
    """The image that the Dockerfile starts from."""

    name: str
    """What BASE is set to: with the digest where a registry gave one."""
    stand_in: bool


def wanted_base() -> str:
    """The name that the Dockerfile gives BASE."""
    return image.wanted_base((ROOT / "Dockerfile").read_text())


def prepare_base(engine: Engine, folder: Path, *, pull: bool) -> Base:
    """Pull the base image and note its digest, or make a stand-in under the same name."""
    name = wanted_base()
    if pull:
        engine.must("pull", "--quiet", name, timeout=600.0)
        digests = engine.inspect("image", name).get("RepoDigests") or []
        _, _, digest = digests[0].partition("@") if digests else ("", "", "")
        return Base(f"{name}@{digest}" if digest else name, stand_in=False)
    if not engine.has_image(name):
        standin.python_base(engine, folder, name)
    return Base(name, stand_in=True)


def build(engine: Engine, folder: Path, context: Context, base: Base) -> str:
    """Build the image as TAG, with a secret in the builder's environment; returns its id."""
    given = {"BASE": base.name, "VERSION": __version__, "REVISION": revision()}
    words = [word for item in given.items() for word in ("--build-arg", "=".join(item))]
    environment = {**engine.environment, "REGISTRY_PASSWORD": context.mark}
    if engine.is_docker:
        command = ["docker", "build", "--tag", TAG, *words, str(context.folder)]
    else:
        # The packages come from the host, verified by the same hashes there and in the build. So
        # the build has no network, whatever index and certificates the host's pip and npm use.
        mounts = [*_wheelhouse(engine, folder, base), *_npm_cache(folder)]
        volumes = [word for mount in mounts for word in ("--volume", mount)]
        command = ["buildah", "build", "--pull=never", "--network=none", "--tag", TAG]
        command += [*volumes, *words, str(context.folder)]
    commands.must(command, environment=environment, timeout=1_200.0)
    return str(engine.inspect("image", TAG)["Id"])


def _wheelhouse(engine: Engine, folder: Path, base: Base) -> list[str]:
    """Mounts: the pinned wheels for the base's Python, and the pip.conf that points to them."""
    wheels = folder / "wheels"
    code = "import json, sys; print(json.dumps(sys.version_info[:2]))"
    done = engine.must("run", "--rm", "--network", "host", base.name, "python", "-c", code)
    version = ".".join(map(str, json.loads(done)))
    machine = platform.machine()
    tags = [f"manylinux_2_{n}_{machine}" for n in range(_NEWEST_GLIBC, 4, -1)]
    tags += [f"manylinux2014_{machine}", f"manylinux2010_{machine}", f"manylinux1_{machine}"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:"]
    command += ["--python-version", version, "--implementation", "cp", *platforms]
    command += ["--dest", str(wheels), "--requirement", str(ROOT / "requirements.txt")]
    command += ["--requirement", str(ROOT / "requirements" / "node.txt")]
    commands.must(command, timeout=600.0)
    configuration = folder / "pip.conf"
    configuration.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    return [f"{wheels}:/wheels:ro", f"{configuration}:/etc/pip.conf:ro"]


def _npm_cache(folder: Path) -> list[str]:
    """Mounts: what `make chart` fetches, in npm's cache, and the .npmrc that points to it."""
    copy, cache = folder / "npm-copy", folder / "npm"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, copy / name, dirs_exist_ok=True)
    (copy / "app" / "api" / "page").mkdir(parents=True, exist_ok=True)
    fetch, environment = ["sh", "scripts/chart.sh"], {"npm_config_cache": str(cache)}
    commands.must(fetch, folder=copy, environment=environment, timeout=600.0)
    lines = ["offline=true", "cache=/npm", "logs-max=0"]
    if shutil.which("npm"):  # which may have a mirror: in the cache all is under its address
        registry = commands.must(["npm", "config", "get", "registry"], folder=copy)
        lines.append(f"registry={registry.strip()}")
    configuration = folder / "npmrc"
    configuration.write_text("\n".join([*lines, ""]))
    # It cannot be read-only: npm writes into its cache when it reads, or else finds nothing.
    return [f"{cache}:/npm", f"{configuration}:/build/chart/.npmrc:ro"]
