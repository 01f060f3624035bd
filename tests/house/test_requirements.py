"""The pinned requirements belong to the short lists, and name no machine and no registry."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted(path.stem for path in ROOT.glob("requirements*.in"))


def plain(name: str) -> str:
    """A project's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(stem: str) -> set[str]:
    """The names in a short list, with those of the list that it includes."""
    names: set[str] = set()
    for line in (ROOT / f"{stem}.in").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            names |= asked(text.removeprefix("-r ").removesuffix(".in"))
        elif text and (match := re.match(r"[A-Za-z0-9._-]+", text)):
            names.add(plain(match[0]))
    return names


def pinned(stem: str) -> dict[str, tuple[str, int]]:
    """Each pinned project with its version and its number of hashes."""
    text = re.sub(r"\\\n", " ", (ROOT / f"{stem}.txt").read_text())
    lines = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)(.*)$", text)
    return {plain(name): (version, rest.count("--hash=sha256:")) for name, version, rest in lines}


@pytest.mark.parametrize("stem", ALL)
def test_a_list_is_pinned_whole_with_hashes_and_from_no_particular_index(stem: str) -> None:
    text = (ROOT / f"{stem}.txt").read_text()
    # uv notes under each pin who wants it: a list, or another package.
    pins = re.split(r"(?m)^(?=[A-Za-z0-9])", text)
    from_a_list = {plain(pin.split("==")[0].split("[")[0]) for pin in pins if "-r req" in pin}
    assert from_a_list == asked(stem), "run `make lock`"
    assert [name for name, (_, hashes) in pinned(stem).items() if not hashes] == []
    both = text + (ROOT / f"{stem}.in").read_text()
    assert re.findall(r"(?m)^--(?!hash)\S+|://|index-url|find-links|trusted-host", both) == []


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        ("requirements", "requirements-dev"),
        ("requirements", "requirements-checks"),
        ("requirements-deploy", "requirements-rehearsal"),
    ],
)
def test_what_is_tested_are_the_very_versions_that_run(inner: str, outer: str) -> None:
    everything, run_time = pinned(outer), pinned(inner)
    assert {name: everything.get(name) for name in run_time} == run_time


@pytest.mark.parametrize(
    "name", ["Dockerfile", "scripts/venv.sh", "scripts/tools.sh", "checks/image/build.py"]
)
def test_nothing_that_installs_resolves_anything(name: str) -> None:
    """A release that appears tomorrow must not change, or break, what the lists pin today."""
    words = re.sub(r'[\\\s",\[\]+=]+', " ", (ROOT / name).read_text())
    (options,) = re.findall(r"--\S*no-deps.*?--requirement", words)
    assert "--require-hashes --only-binary :all:" in options


def test_what_is_pinned_is_whole_and_fits_together() -> None:
    command = [sys.executable, "-m", "pip", "check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_application_imports_only_what_the_run_time_requirements_install() -> None:
    imported: set[str] = set()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    owners = packages_distributions()
    others = imported - {"app"} - sys.stdlib_module_names
    missing = {
        n for n in others if not {plain(d) for d in owners.get(n, [])} & set(pinned("requirements"))
    }
    assert missing == set()
    assert {"boto3", "moto"}.isdisjoint(pinned("requirements-dev"))
