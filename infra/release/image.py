"""The image in the pipeline: built once, pushed under its commit with SBOM and provenance, scanned.

buildx makes both attestations in the build and pushes them beside the image: its content (SPDX),
and the commit, builder and arguments it was made from (SLSA). A tag is a commit and never moves: if
the registry has it, that image is taken and nothing is built. The base's tag does move: its digest
is looked up first, and the image is built upon that.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.release.running import CommandFailed, Run

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
BUILT_FROM: Final = (
    "Dockerfile",
    ".dockerignore",
    "requirements.txt",
    "requirements/node.txt",
    "requirements/npm",
    "app",
    "infra/image",
)
"""What goes into the build or decides it."""

_WORST: Final = ("CRITICAL", "HIGH")
_UNFINISHED: Final = ("PENDING", "IN_PROGRESS", "SCAN_ON_PUSH", "ACTIVE_PENDING")


class OtherTree(Exception):
    """The files here are not those of the commit that is to be built; nothing was built."""


class ScanFailed(Exception):
    """The scan found what must not be shipped, or did not end; the text says which."""


@dataclass(frozen=True)
class Source:
    """What is built: the commit, and what the Dockerfile is given; `base` may be a tag."""

    repository: str
    commit: str
    version: str
    base: str

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
    _check_tree(source, run)
    base = source.base if "@" in source.base else by_digest(source.base, run)
    user, password = _sign_in(ecr)
    registry = source.repository.partition("/")[0]
    run(["docker", "login", "--username", user, "--password-stdin", registry], password)
    # Attestations need the container driver; the default one cannot push them. With the node's name
    # an existing builder is used again.
    create = ["docker", "buildx", "create", "--name", BUILDER, "--node", f"{BUILDER}0"]
    run([*create, "--driver", "docker-container"], None)
    run(build_command(source, base, metadata), None)
    digest = str(json.loads(metadata.read_text(encoding="utf-8"))["containerimage.digest"])
    tell(f"pushed {source.tag}, on {base}: {digest}")
    return digest


def wanted_base(dockerfile: str) -> str:
    """The base that a Dockerfile names. Raises LookupError where it names none."""
    match = re.search(r"(?m)^ARG BASE=(\S+)$", dockerfile)
    if match is None:
        raise LookupError("the Dockerfile has no line `ARG BASE=name`")
    return match[1]


def by_digest(tag: str, run: Run) -> str:
    """The image that a tag names at the moment, as `tag@sha256:…`; the registry is asked."""
    command = ["docker", "buildx", "imagetools", "inspect", tag, "--format", "{{json .Manifest}}"]
    said = run(command, None)
    try:
        return f"{tag}@{json.loads(said)['digest']}"
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"docker buildx imagetools names no digest of {tag}: {said}") from error


def build_command(source: Source, base: str, metadata: Path) -> Sequence[str]:
    """The one build: what it is given is in the provenance, for everyone to repeat."""
    arguments = {"VERSION": source.version, "REVISION": source.commit, "BASE": base}
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


@dataclass(frozen=True)
class Scanned:
    """What a scan found: how much of each severity, and which of the worst were allowed."""

    counts: Mapping[str, int]
    allowed: frozenset[str]


def scan(
    ecr: Any,
    name: str,
    digest: str,
    allowed: Collection[str],
    now: Callable[[], float],
    sleep: Callable[[float], None],
    patience: float = 600.0,
) -> Scanned:
    """Wait for the registry's scan of an image.

    Raises ScanFailed on a critical or high finding that `allowed` does not name, and where the scan
    did not happen or does not end.
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
    counted = reply["imageScanFindings"].get("findingSeverityCounts", {})
    counts = {str(severity): int(count) for severity, count in counted.items()}
    worst = [
        (severity, finding)
        for severity, finding in _named(ecr, name, image, reply)
        if severity in _WORST
    ]
    total = sum(counts.get(severity, 0) for severity in _WORST)
    if total > len(worst):
        raise ScanFailed(
            f"the scan counts {total} critical or high findings, and names {len(worst)}"
        )
    bad = sorted(
        {f"{finding} ({severity})" for severity, finding in worst if finding not in allowed}
    )
    if bad:
        raise ScanFailed(f"the scan found {len(bad)} that must not be shipped: {', '.join(bad)}")
    return Scanned(counts, frozenset(finding for _, finding in worst))


def _check_tree(source: Source, run: Run) -> None:
    """Raise OtherTree where the build would not be of the commit that the image is named after."""
    head = run(["git", "rev-parse", "HEAD"], None).strip()
    if head != source.commit:
        raise OtherTree(f"DEPLOY_COMMIT is {source.commit}, and what is checked out is {head}")
    changed = run(["git", "status", "--porcelain", "--", *BUILT_FROM], None).rstrip()
    if changed:
        raise OtherTree(f"these files are not as in {source.commit}; commit them first:\n{changed}")


def _named(ecr: Any, name: str, image: Mapping[str, str], reply: Any) -> Iterator[tuple[str, str]]:
    """Severity and name of every finding, of basic and of enhanced scanning, page by page."""
    while True:
        findings = reply["imageScanFindings"]
        for each in findings.get("findings", []):
            yield str(each["severity"]), str(each["name"])
        for each in findings.get("enhancedFindings", []):
            details = each["packageVulnerabilityDetails"]
            yield str(each["severity"]), str(details["vulnerabilityId"])
        token = reply.get("nextToken")
        if not token:
            return
        reply = ecr.describe_image_scan_findings(
            repositoryName=name, imageId=dict(image), nextToken=token
        )


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
