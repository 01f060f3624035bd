"""The pins belong to the lists in pyproject.toml, and name no machine and no registry."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTS = {
    "requirements": ROOT / "requirements.txt",
    **{group: ROOT / f"requirements/{group}.txt" for group in PYPROJECT["dependency-groups"]},
}
"""Every list of pins by its name: the run-time list, and one for each dependency group."""

RUN_BESIDE = {"dev", "checks"}
"""The groups that are installed together with the application."""

BY_ITS_PRESENCE = {"httptools", "uvloop"}
"""What uvicorn uses where it is installed; nothing of ours imports it."""


def plain(name: str) -> str:
    """A project's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(entries: list[Any]) -> set[str]:
    """The projects that a list in pyproject.toml names, with those of the groups it includes."""
    projects: set[str] = set()
    for entry in entries:
        if isinstance(entry, dict):
            projects |= names(PYPROJECT["dependency-groups"][entry["include-group"]])
        elif match := re.match(r"[A-Za-z0-9._-]+", entry):
            projects.add(plain(match[0]))
    return projects


def declared(name: str) -> set[str]:
    """The projects that pyproject.toml names for a list of pins."""
    projects = names(PYPROJECT["dependency-groups"].get(name, []))
    if name in RUN_BESIDE or name == "requirements":
        projects |= names(PYPROJECT["project"]["dependencies"])
    return projects


def pinned(name: str) -> dict[str, tuple[str, int]]:
    """Each pinned project with its version and its number of hashes."""
    text = re.sub(r"\\\n", " ", LISTS[name].read_text())
    lines = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)(.*)$", text)
    return {
        plain(project): (version, rest.count("--hash=sha256:")) for project, version, rest in lines
    }


def test_every_list_belongs_to_a_group() -> None:
    lists = {*(ROOT / "requirements").glob("*.*"), *ROOT.glob("requirements*.*")}
    assert lists == {*LISTS.values()}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_pinned_whole_with_hashes_and_from_no_particular_index(name: str) -> None:
    text = LISTS[name].read_text()
    # uv notes under each pin what needs it: pyproject.toml, or another package.
    pins = re.split(r"(?m)^(?=[A-Za-z0-9])", text)
    direct = {
        plain(pin.split("==")[0].split("[")[0]) for pin in pins[1:] if "(pyproject.toml" in pin
    }
    assert direct == declared(name), "run `make lock`"
    assert [project for project, (_, hashes) in pinned(name).items() if not hashes] == []
    assert re.findall(r"(?m)^--(?!hash)\S+|://|index-url|find-links|trusted-host", text) == []


@pytest.mark.parametrize("folder", ["requirements/npm", "tests/tools/clients"])
def test_a_list_for_npm_is_pinned_whole_with_hashes_and_from_no_particular_registry(
    folder: str,
) -> None:
    listed = json.loads((ROOT / folder / "package.json").read_text())
    root, *packages = json.loads((ROOT / folder / "package-lock.json").read_text())[
        "packages"
    ].values()
    for kind in ("dependencies", "devDependencies"):
        chosen = listed.get(kind, {})
        assert root.get(kind, {}) == chosen
        assert all(re.fullmatch(r"[0-9.]+", version) for version in chosen.values())
    assert packages
    assert all("integrity" in each and "resolved" not in each for each in packages)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_begins_with_the_command_that_makes_it(name: str) -> None:
    """A bot that raises a version runs it: without --universal it would pin for one machine."""
    _, command, *_ = LISTS[name].read_text().splitlines()
    assert command.startswith("#    uv pip compile --universal --python-version 3.11 ")
    assert f"--output-file {LISTS[name].relative_to(ROOT)}" in command
    assert command.endswith("pyproject.toml" if name == "requirements" else f"--group {name}")


@pytest.mark.parametrize(
    ("inner", "outer"),
    [("requirements", "dev"), ("dev", "checks"), ("deploy", "rehearsal")],
)
def test_what_is_tested_are_the_very_versions_that_run(inner: str, outer: str) -> None:
    everything, part = pinned(outer), pinned(inner)
    assert {project: everything.get(project) for project in part} == part


@pytest.mark.parametrize(
    "name", ["Dockerfile", "scripts/venv.sh", "scripts/tools.sh", "checks/image/build.py"]
)
def test_nothing_that_installs_resolves_anything(name: str) -> None:
    """A release that appears tomorrow must not change, or break, what the lists pin today."""
    words = re.sub(r'[\\\s",\[\]+=]+', " ", (ROOT / name).read_text())
    installs = re.findall(r"--\S*no-deps.*?--requirement", words)
    assert installs
    assert all("--require-hashes --only-binary :all:" in options for options in installs)


def test_what_is_pinned_is_whole_and_fits_together() -> None:
    command = [sys.executable, "-m", "pip", "check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_dependencies_are_what_the_application_imports() -> None:
    imported: set[str] = set()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    owners = packages_distributions()
    projects = {plain(owners[name][0]) for name in imported - {"app"} - sys.stdlib_module_names}
    assert declared("requirements") == projects | BY_ITS_PRESENCE


def test_what_ships_and_what_builds_is_not_beside_the_application() -> None:
    assert {"boto3", "moto"}.isdisjoint(pinned("checks"))
    assert {"pip", "setuptools", "wheel"}.isdisjoint(pinned("requirements"))
