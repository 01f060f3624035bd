"""The image is built once for a commit, with its attestations, and judged by the registry's scan."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.release.image import PLATFORM, ScanFailed, Source, build_command, publish, scan
from tests.support.ecs import Clock

SOURCE = Source("1.dkr.ecr.us-east-1.amazonaws.com/mms-dev", "c" * 40, "0.1.0")
DIGEST = "sha256:" + "1" * 64
INNER = "sha256:" + "2" * 64


class NotFound(Exception):
    """What the registry raises where there is no scan yet."""


class Registry:
    """An ECR whose scan goes through the given states."""

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

    def describe_image_scan_findings(self, *, imageId: dict[str, str], **_: Any) -> Any:
        self.scanned.append(imageId["imageDigest"])
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise NotFound
        if isinstance(state, str):
            return {"imageScanStatus": {"status": state, "description": "why"}}
        findings = [{"name": f"CVE-{s}", "severity": s} for s in state]
        return {
            "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindings": {"findingSeverityCounts": state, "findings": findings},
        }


def scanned(registry: Registry, **allowed: int) -> dict[str, int]:
    clock = Clock()
    return scan(registry, "mms-dev", DIGEST, allowed, clock.now, clock.sleep)


def test_a_scan_is_waited_for() -> None:
    registry = Registry(None, "PENDING", "IN_PROGRESS", {"LOW": 3, "MEDIUM": 1})
    assert scanned(registry) == {"LOW": 3, "MEDIUM": 1}
    assert len(registry.scanned) == 4


@pytest.mark.parametrize("severity", ["CRITICAL", "HIGH"])
def test_what_is_high_or_critical_is_not_shipped_unless_it_is_allowed(severity: str) -> None:
    with pytest.raises(ScanFailed, match=f"2 {severity}: CVE-{severity}"):
        scanned(Registry({severity: 2, "LOW": 1}))
    assert scanned(Registry({severity: 2}), **{severity: 2})[severity] == 2
    with pytest.raises(ScanFailed):
        scanned(Registry({severity: 3}), **{severity: 2})


@pytest.mark.parametrize("state", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED"])
def test_a_scan_that_did_not_happen_is_not_one_without_findings(state: str) -> None:
    with pytest.raises(ScanFailed, match=f"did not scan .*{state}: why"):
        scanned(Registry(state))


def test_a_scan_without_an_end_fails() -> None:
    with pytest.raises(ScanFailed, match="had not ended after 600 s"):
        scanned(Registry("IN_PROGRESS"))


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
    """Records commands; the build writes its metadata."""

    def __init__(self) -> None:
        self.ran: list[tuple[list[str], str | None]] = []

    def __call__(self, command: Sequence[str], given: str | None) -> str:
        self.ran.append((list(command), given))
        for word in command:
            if word.startswith("--metadata-file="):
                Path(word.partition("=")[2]).write_text(
                    json.dumps({"containerimage.digest": DIGEST}), encoding="utf-8"
                )
        return ""


def test_an_image_is_built_with_both_attestations_and_the_password_is_no_argument(
    tmp_path: Path,
) -> None:
    commands, said = Commands(), list[str]()
    digest = publish(SOURCE, commands, Registry(), tmp_path / "m.json", said.append)
    assert digest == DIGEST
    (login, password), _, (build, _) = commands.ran
    assert login[:3] == ["docker", "login", "--username"]
    assert password == "pass:word"
    assert "pass:word" not in " ".join(word for command, _ in commands.ran for word in command)
    assert {"--sbom=true", "--provenance=mode=max", "--push"} <= set(build)
    assert f"--tag={SOURCE.tag}" in build
    assert f"--build-arg=REVISION={'c' * 40}" in build
    assert not any(word.startswith("--build-arg=BASE") for word in build)


def test_a_base_is_passed_on() -> None:
    source = Source("r/mms", "c" * 40, "0.1.0", "python@sha256:1")
    command = build_command(source, Path("m.json"))
    assert "--build-arg=BASE=python@sha256:1" in command
    assert f"--platform={PLATFORM}" in command


def test_a_commit_that_is_in_the_registry_is_not_built_again(tmp_path: Path) -> None:
    commands, said = Commands(), list[str]()
    registry = Registry(tagged=True)
    assert publish(SOURCE, commands, registry, tmp_path / "m.json", said.append) == DIGEST
    assert commands.ran == []
    assert "already" in said[0]
