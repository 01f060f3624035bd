"""The image is built once for a commit, with attestations, and judged by the registry's scan."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.release.image import (
    BUILT_FROM,
    PLATFORM,
    OtherTree,
    ScanFailed,
    Scanned,
    Source,
    publish,
    scan,
)
from infra.release.running import CommandFailed
from tests.support.ecs import Clock

ROOT = Path(__file__).resolve().parents[3]
BASE = "docker.io/library/python:3.13-slim-trixie"
NOW = "sha256:" + "b" * 64
SOURCE = Source("1.dkr.ecr.us-east-1.amazonaws.com/mms-dev", "c" * 40, "0.1.0", BASE)
DIGEST = "sha256:" + "1" * 64
INNER = "sha256:" + "2" * 64


class NotFound(Exception):
    """What the registry raises where there is no scan yet."""


class Registry:
    """An ECR whose scan goes through the given states; findings may come in several pages."""

    class exceptions:
        ScanNotFoundException = NotFound

    def __init__(self, *states: Any, manifest: Any = None, tagged: bool = False) -> None:
        self.states = list(states)
        self.manifest = {"layers": []} if manifest is None else manifest
        self.tagged = tagged
        self.scanned: list[str] = []

    def batch_get_image(self, *, imageIds: Sequence[dict[str, str]], **_: Any) -> Any:
        if "imageTag" in imageIds[0] and not self.tagged:
            return {"images": []}
        return {
            "images": [
                {"imageManifest": json.dumps(self.manifest), "imageId": {"imageDigest": DIGEST}}
            ]
        }

    def get_authorization_token(self) -> Any:
        given = base64.b64encode(b"AWS:pass:word").decode()
        return {"authorizationData": [{"authorizationToken": given}]}

    def describe_image_scan_findings(
        self, *, imageId: dict[str, str], nextToken: str = "0", **_: Any
    ) -> Any:
        self.scanned.append(imageId["imageDigest"])
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise NotFound
        if isinstance(state, str):
            return {"imageScanStatus": {"status": state, "description": "why"}}
        pages = state if isinstance(state, list) else [state]
        here = int(nextToken)
        more = {"nextToken": str(here + 1)} if here + 1 < len(pages) else {}
        return {
            "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindings": {
                "findingSeverityCounts": counted(name for page in pages for name in page.items()),
                "findings": [{"name": name, "severity": s} for name, s in pages[here].items()],
            },
            **more,
        }


def counted(findings: Iterable[tuple[str, str]]) -> dict[str, int]:
    return dict(Counter(severity for _, severity in findings))


def scanned(registry: Registry, *allowed: str) -> Scanned:
    clock = Clock()
    return scan(registry, "mms-dev", DIGEST, allowed, clock.now, clock.sleep)


@pytest.mark.parametrize("severity", ["CRITICAL", "HIGH"])
def test_what_is_high_or_critical_is_not_shipped_unless_it_is_allowed_by_its_name(
    severity: str,
) -> None:
    found = {"CVE-1": severity, "CVE-2": severity, "CVE-3": "LOW"}
    with pytest.raises(ScanFailed, match=r"CVE-1.*CVE-2"):
        scanned(Registry(found))
    with pytest.raises(ScanFailed, match=rf": CVE-2 \({severity}\)$"):
        scanned(Registry(found), "CVE-1", "CVE-9")
    waited_for = Registry(None, "PENDING", found)
    assert scanned(waited_for, "CVE-1", "CVE-2", "CVE-9").allowed == {"CVE-1", "CVE-2"}
    assert len(waited_for.scanned) == 3


def test_every_page_of_the_findings_is_read() -> None:
    pages = [{"CVE-1": "HIGH"}, {"CVE-2": "LOW"}, {"CVE-3": "CRITICAL"}]
    with pytest.raises(ScanFailed, match=r": CVE-3 \(CRITICAL\)$"):
        scanned(Registry(pages), "CVE-1")


class Said(Registry):
    """An ECR that says this of a scan that has ended."""

    def describe_image_scan_findings(self, **_: Any) -> Any:
        return self.states[0]


def test_findings_of_enhanced_scanning_have_names_too() -> None:
    details = {"packageVulnerabilityDetails": {"vulnerabilityId": "CVE-7"}, "severity": "HIGH"}
    findings = {"findingSeverityCounts": {"HIGH": 1}, "enhancedFindings": [details]}
    enhanced = {"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": findings}
    with pytest.raises(ScanFailed, match="CVE-7"):
        scanned(Said(enhanced))
    assert scanned(Said(enhanced), "CVE-7").counts == {"HIGH": 1}


def test_a_finding_that_is_counted_and_not_named_is_not_shipped() -> None:
    findings = {"findingSeverityCounts": {"CRITICAL": 1}}
    counted_only = {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": findings}
    with pytest.raises(ScanFailed, match="names 0"):
        scanned(Said(counted_only), "CVE-1")


@pytest.mark.parametrize("state", ["FAILED", "UNSUPPORTED_IMAGE", "IN_PROGRESS"])
def test_a_scan_that_did_not_happen_or_end_is_not_one_without_findings(state: str) -> None:
    with pytest.raises(ScanFailed):
        scanned(Registry(state))


def test_of_an_index_the_image_is_scanned_and_not_its_attestations() -> None:
    manifest = {
        "manifests": [
            {"digest": "sha256:attestation", "platform": {"os": "unknown"}},
            {"digest": INNER, "platform": {"os": "linux", "architecture": "amd64"}},
        ]
    }
    registry = Registry({}, manifest=manifest)
    scanned(registry)
    assert registry.scanned == [INNER]


class Commands:
    """Records commands and answers them; the build writes its metadata."""

    def __init__(
        self, head: str = "c" * 40, changed: str = "", manifest: str | None = None
    ) -> None:
        self.ran: list[tuple[list[str], str | None]] = []
        self.answers = {
            "git rev-parse": f"{head}\n",
            "git status": changed,
            "docker buildx imagetools": (
                json.dumps({"digest": NOW}) if manifest is None else manifest
            ),
        }

    def __call__(self, command: Sequence[str], given: str | None) -> str:
        self.ran.append((list(command), given))
        for word in command:
            if word.startswith("--metadata-file="):
                Path(word.partition("=")[2]).write_text(
                    json.dumps({"containerimage.digest": DIGEST}), encoding="utf-8"
                )
        line = " ".join(command)
        return next((said for begin, said in self.answers.items() if line.startswith(begin)), "")

    @property
    def lines(self) -> list[str]:
        return [" ".join(command) for command, _ in self.ran]


def published(
    folder: Path, commands: Commands, source: Source = SOURCE, registry: Registry | None = None
) -> str:
    said: list[str] = []
    return publish(source, commands, registry or Registry(), folder / "m.json", said.append)


def test_an_image_is_built_with_both_attestations_and_the_password_is_no_argument(
    tmp_path: Path,
) -> None:
    commands = Commands()
    assert published(tmp_path, commands) == DIGEST
    (login, password), (create, _), (build, _) = commands.ran[-3:]
    assert login[:3] == ["docker", "login", "--username"]
    assert password == "pass:word"
    assert "pass:word" not in " ".join(commands.lines)
    # buildx refuses to create a builder that is there, unless its node is named.
    assert create[create.index("--node") + 1] == f"{create[create.index('--name') + 1]}0"
    assert {
        "--sbom=true",
        "--provenance=mode=max",
        "--push",
        f"--platform={PLATFORM}",
        f"--tag={SOURCE.tag}",
        f"--build-arg=REVISION={'c' * 40}",
        f"--build-arg=BASE={BASE}@{NOW}",
    } <= set(build)


@pytest.mark.parametrize("answer", ["[]", "{}", "not found"])
def test_a_base_whose_digest_cannot_be_had_is_not_built_upon(tmp_path: Path, answer: str) -> None:
    commands = Commands(manifest=answer)
    with pytest.raises(CommandFailed, match=BASE):
        published(tmp_path, commands)
    assert not [line for line in commands.lines if line.startswith("docker buildx build")]


@pytest.mark.parametrize(
    "commands", [Commands(head="d" * 40), Commands(changed=" M app/serve.py\n")]
)
def test_what_is_not_the_commit_is_not_published_under_its_name(
    tmp_path: Path, commands: Commands
) -> None:
    with pytest.raises(OtherTree):
        published(tmp_path, commands)
    assert not [line for line in commands.lines if line.startswith("docker")]


def test_everything_that_the_build_reads_is_compared_with_the_commit() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = set(re.findall(r"(?m)^COPY (?!--from)(\S+) \S+$", dockerfile))
    assert copied < {*BUILT_FROM}
    ignore = (ROOT / ".dockerignore").read_text()
    let_in = set(re.findall(r"(?m)^!([^*\n]+)$", ignore))
    assert [name for name in let_in if not any(name.startswith(each) for each in BUILT_FROM)] == []
    assert {"Dockerfile", ".dockerignore"} < {*BUILT_FROM}


def test_a_commit_that_is_in_the_registry_is_not_built_again(tmp_path: Path) -> None:
    commands = Commands()
    assert published(tmp_path, commands, registry=Registry(tagged=True)) == DIGEST
    assert commands.ran == []
