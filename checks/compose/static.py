"""What can be said of docker-compose.yml and its neighbours without starting anything."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from checks.commands import run
from checks.compose import services
from checks.compose.stack import Stack
from checks.engine import Engine
from checks.image.context import ROOT
from checks.report import Report

DASHBOARDS: Final = ROOT / "infra" / "grafana" / "dashboards"
RULES: Final = ROOT / "infra" / "prometheus"

_WRITES_ITS_ROOT: Final = {("postgres", "read_only"), ("postgres-replica", "read_only")}
_PINNED: Final = re.compile(r"[a-z0-9.]+/[a-z0-9/-]+:v?\d+\.\d+\.?\d*(@sha256:[0-9a-f]{64})?")
_SECRET: Final = re.compile(r"(?i)password|secret|token|api_key")


def prove(report: Report, stacks: list[Stack], secrets: Path) -> None:
    """The schema, the reading of every profile, pinned images, and no secret in what is read."""
    program = Path(sys.executable).with_name("check-jsonschema")
    schema = [str(program), "--builtin-schema", "vendor.compose-spec", str(services.FILE)]
    done = run(schema)
    report.check("schema of Compose", done.code == 0, done.text.strip())
    values = [file.read_text().strip() for file in secrets.iterdir() if file.is_file()]
    for stack in stacks:
        text = stack.config()
        told = [value for value in values if value in text]
        read = services.parse_yaml(text)["services"]
        expected = {each.name for each in services.of_profile(services.read(), stack.profile)}
        report.check(
            f"config of {stack.profile}",
            expected <= set(read) and not told,
            f"{len(expected)} services, {len(told)} of {len(values)} secrets in it",
        )
    images = {each.image for each in services.read().values()}
    others = {image for image in images if "mms-api" not in image}
    loose = sorted(image for image in others if not _PINNED.fullmatch(image))
    report.check(
        "images pinned by version", bool(others) and not loose, loose or f"{len(others)} images"
    )
    bare = exposed(services.parse_yaml(services.FILE.read_text()))
    report.check("no service with more rights than it needs", not bare, bare or "none")
    written = sorted(_written_secrets(services.parse_yaml(services.FILE.read_text())))
    report.check("secrets written in the file", not written, written or "none")


def exposed(file: Mapping[str, Any]) -> list[str]:
    """The limits that services lack: capabilities, privileges, memory, a read-only root."""
    limits = {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
    }
    exposures = []
    for name, service in file["services"].items():
        lacking = [key for key, value in limits.items() if service.get(key) != value]
        lacking += [] if "mem_limit" in service else ["mem_limit"]
        exposures += [f"{name}: {key}" for key in lacking if (name, key) not in _WRITES_ITS_ROOT]
    return exposures


def prove_rules(report: Report, engine: Engine, image: str) -> None:
    """Prometheus's own judgement of its configuration and rules, and the rules' tests."""
    for words in (
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules.yml"),
        ("test", "rules", "rules_test.yml"),
    ):
        options = [
            "--entrypoint",
            "promtool",
            "--workdir",
            "/rules",
            "--volume",
            f"{RULES}:/rules:ro",
        ]
        done = engine.once(image, options, *words)
        report.check(f"promtool {words[0]} {words[1]}", done.code == 0, _last_line(done.text))


def expressions() -> dict[str, str]:
    """Every question that the dashboards and the rules put to Prometheus, by where it stands."""
    by_place = {}
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                by_place[f"panel {panel['title']}"] = target["expr"]
    for group in services.parse_yaml((RULES / "rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            by_place[f"rule {rule.get('record') or rule['alert']}"] = rule["expr"]
    return by_place


def _written_secrets(node: Any, name: str = "") -> Iterator[str]:
    """Values under names that sound secret, but for paths of files and the environment's own."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _written_secrets(value, str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _written_secrets(value, name)
    elif isinstance(node, str):
        by_name = _SECRET.search(name) and not re.fullmatch(
            r"(\$\{\w+:-\}|/run/secrets/\w+)?", node
        )
        if re.search(r"://[^/\s:]+:[^/\s@]+@", node) or (
            by_name and name not in ("file", "secrets")
        ):
            yield f"{name}: {node}"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "said nothing"
