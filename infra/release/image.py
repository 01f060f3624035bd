"""The image in the pipeline: built once, pushed under its commit, with SBOM and provenance, and scanned.

buildx makes both attestations while it builds and pushes them beside the image: what is in it (SPDX), and
from which commit, by which builder and with which arguments it was made (SLSA). A tag is a commit and never
moves: where the registry has it already, that image is taken and nothing is built.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.release.running import Run

BUILDER: Final = "mms-release"
PLATFORM: Final = "linux/amd64"
"""What tasks run on (tasks.tf): the runners of GitHub build for it without emulation."""

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_IMAGES: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_WORST: Final = ("CRITICAL", "HIGH")
_UNFINISHED: Final = ("PENDING", "IN_PROGRESS", "SCAN_ON_PUSH", "ACTIVE_PENDING")


class ScanFailed(Exception):
    """The scan found what must not be shipped, or did not end; the text says which."""


@dataclass(frozen=True)
class Source:
    """What is built: the commit, and what the Dockerfile is given."""

    repository: str
    commit: str
    version: str
    base: str | None = None

    @property
    def name(self) -> str:
        """The repository's name without its registry."""
        return self.repository.partition("/")[2]

    @property
    def tag(self) -> str:
        """The image's full name by tag."""
        return f"{self.repository}:{self.commit}"


def publish(source: Source, run: Run, ecr: Any, metadata: Path, tell: Callable[[str], None]) -> str:
    """Build and push; returns the digest of what the tag names."""
    present = _digest(ecr, source)
    if present is not None:
        tell(f"{source.tag} is in the registry already: {present}")
        return present
    user, password = _sign_in(ecr)
    registry = source.repository.partition("/")[0]
    run(["docker", "login", "--username", user, "--password-stdin", registry], password)
    # Attestations need the container driver; the default one cannot push them.
    run(["docker", "buildx", "create", "--name", BUILDER, "--driver", "docker-container"], None)
    run(build_command(source, metadata), None)
    digest = str(json.loads(metadata.read_text(encoding="utf-8"))["containerimage.digest"])
    tell(f"pushed {source.tag}: {digest}")
    return digest


def build_command(source: Source, metadata: Path) -> Sequence[str]:
    """The one build: what it is given is in the provenance, for everyone to repeat."""
    arguments = {"VERSION": source.version, "REVISION": source.commit}
    if source.base is not None:
        arguments["BASE"] = source.base
    return [
        "docker",
        "buildx",
        "build",
        f"--builder={BUILDER}",
        f"--platform={PLATFORM}",
        "--sbom=true",
        "--provenance=mode=max",
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        f"--tag={source.tag}",
        f"--metadata-file={metadata}",
        "--push",
        ".",
    ]


def scan(
    ecr: Any,
    name: str,
    digest: str,
    allowed: Mapping[str, int],
    now: Callable[[], float],
    sleep: Callable[[float], None],
    patience: float = 600.0,
) -> dict[str, int]:
    """Wait for the registry's scan of an image; returns its findings by severity.

    Raises ScanFailed where there are more findings of a severity than `allowed` (none of those that are
    not named and are high or critical), or the scan does not end. A scan that did not happen is not one
    that found nothing.
    """
    image = {"imageDigest": _runnable(ecr, name, digest)}
    began = now()
    while True:
        reply = _findings(ecr, name, image)
        status = reply.get("imageScanStatus", {}).get("status", "PENDING")
        if status in ("COMPLETE", "ACTIVE"):
            break
        if status not in _UNFINISHED:
            why = reply["imageScanStatus"].get("description", "no reason given")
            raise ScanFailed(f"the registry did not scan {image['imageDigest']}: {status}: {why}")
        if now() - began > patience:
            raise ScanFailed(f"the scan had not ended after {patience:.0f} s")
        sleep(5.0)
    found = {
        str(severity): int(count)
        for severity, count in reply["imageScanFindings"].get("findingSeverityCounts", {}).items()
    }
    over = {s: found[s] for s in found if found[s] > allowed.get(s, 0 if s in _WORST else found[s])}
    if over:
        listed = ", ".join(f"{count} {severity}" for severity, count in sorted(over.items()))
        names = sorted(
            str(each["name"])
            for each in reply["imageScanFindings"].get("findings", [])
            if each["severity"] in over
        )
        raise ScanFailed(f"the scan found {listed}: {', '.join(names[:20])}")
    return found


def _runnable(ecr: Any, name: str, digest: str) -> str:
    """The digest of what runs: an index holds the image and, beside it, its attestations."""
    reply = ecr.batch_get_image(
        repositoryName=name,
        imageIds=[{"imageDigest": digest}],
        acceptedMediaTypes=[*_INDEXES, *_IMAGES],
    )
    if not reply["images"]:
        raise ScanFailed(f"the registry does not hold {digest}")
    manifest = json.loads(reply["images"][0]["imageManifest"])
    for each in manifest.get("manifests", []):
        if each.get("platform", {}).get("os") == "linux":
            return str(each["digest"])
    return digest


def _findings(ecr: Any, name: str, image: Mapping[str, str]) -> Any:
    try:
        return ecr.describe_image_scan_findings(repositoryName=name, imageId=dict(image))
    except ecr.exceptions.ScanNotFoundException:
        return {}  # the push was a moment ago


def _digest(ecr: Any, source: Source) -> str | None:
    reply = ecr.batch_get_image(
        repositoryName=source.name,
        imageIds=[{"imageTag": source.commit}],
        acceptedMediaTypes=[*_INDEXES, *_IMAGES],
    )
    return str(reply["images"][0]["imageId"]["imageDigest"]) if reply["images"] else None


def _sign_in(ecr: Any) -> tuple[str, str]:
    (given,) = ecr.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    return user, password
