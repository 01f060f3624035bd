"""What the package says of itself, and the files that a newcomer meets first."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib.metadata import entry_points

import app
from tests.support.processes import ROOT
from tests.support.tree import make

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def test_the_version_stands_once_and_the_change_log_begins_with_it() -> None:
    assert "version" not in PROJECT
    assert PYPROJECT["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "app.__version__"}}
    headings = re.findall(r"(?m)^## \[([^]]+)\] - (.+)$", (ROOT / "CHANGELOG.md").read_text())
    assert headings[0][0] == app.__version__
    dates = [date for _, date in headings[headings[0][1] == "Unreleased" :]]
    assert [date for date in dates if not re.fullmatch(r"\d{4}-\d\d-\d\d", date)] == []
    assert dates == sorted(dates, reverse=True)


def test_the_script_that_builds_the_image_reads_that_version() -> None:
    script = (ROOT / "scripts" / "image.sh").read_text()
    (reading,) = re.findall(r"(?m)^version=\$\((.+)\)$", script)
    done = subprocess.run(
        ["sh", "-c", reading], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == app.__version__


def test_every_supported_python_is_named_and_checked() -> None:
    prefix = "Programming Language :: Python :: "
    listed = [name.removeprefix(prefix) for name in PROJECT["classifiers"] if prefix in name]
    versions = [version for version in listed if re.fullmatch(r"3\.\d+", version)]
    assert PROJECT["requires-python"] == f">={versions[0]}"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (matrix,) = re.findall(r"python: \[(.+)\]", workflow)
    assert re.findall(r'"([^"]+)"', matrix) == versions


def test_the_command_mms_is_installed() -> None:
    """`make install` puts it into .venv/bin."""
    (script,) = entry_points(group="console_scripts", name="mms")
    assert script.value == PROJECT["scripts"]["mms"]


def test_the_license_is_in_the_package() -> None:
    assert PROJECT["license"] == "MIT"
    (name,) = PROJECT["license-files"]
    assert (ROOT / name).read_text().startswith("MIT License\n")


def test_hooks_run_what_make_lint_runs_and_fetch_nothing() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"(?m)^ *-? *repo: *(\S+)$", hooks) == ["local"]
    assert {*re.findall(r"(?m)^ *language: *(\S+)$", hooks)} == {"system"}
    entries = re.findall(r"(?m)^ *entry: *\.venv/bin/(?:python -m )?([\w-]+)", hooks)
    linted = re.findall(r"-m (\w+)|(lint_imports)", make("--dry-run", "lint"))
    assert sorted(entries) == sorted((one or other).replace("_", "-") for one, other in linted)
