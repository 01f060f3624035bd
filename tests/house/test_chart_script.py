"""`make chart`, with an npm that records what it is asked: no cost without a change, never half."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "app/api/page/library"
NPM = """#!/bin/sh
echo "$*" >>"$CALLS"
[ ! -e broken ] || exit 1
package=.tools/npm/node_modules/lightweight-charts
mkdir -p $package/dist
cp requirements/npm/package.json $package/dist/lightweight-charts.standalone.production.mjs
echo Apache >$package/LICENSE
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what the script needs, and npm."""
    shutil.copytree(ROOT / "requirements" / "npm", tmp_path / "requirements" / "npm")
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / LIBRARY).parent.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").write_text(NPM)
    (tmp_path / "bin" / "npm").chmod(0o755)
    return tmp_path


def fetch(project: Path, *words: str) -> tuple[int, list[str]]:
    """Run the script; returns its exit code, and what it asked npm for."""
    calls = project / "calls"
    calls.write_text("")
    path = f"{project / 'bin'}:{os.environ['PATH']}"
    command = ["sh", str(project / "scripts" / "chart.sh"), *words]
    environment = {"PATH": path, "CALLS": str(calls)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "Type the same command again" in done.stderr
    return done.returncode, calls.read_text().splitlines()


def test_the_library_is_fetched_once_with_its_license_and_again_after_a_change(
    project: Path,
) -> None:
    code, calls = fetch(project)
    assert (code, len(calls)) == (0, 1)
    assert {"ci", "--ignore-scripts", "--omit=dev"} < {*calls[0].split()}
    names = {path.name for path in (project / LIBRARY).iterdir()}
    assert names == {"LICENSE", "lightweight-charts.js", "package-lock.json"}
    assert fetch(project) == (0, [])
    _, calls = fetch(project, "tests")
    assert "--omit=dev" not in calls[0]
    assert fetch(project, "tests") == fetch(project) == (0, [])
    (project / "requirements/npm/package-lock.json").write_text("{}")
    assert len(fetch(project)[1]) == 1
    assert (project / LIBRARY / "package-lock.json").read_text() == "{}"


def test_the_library_of_before_stays_where_npm_fails(project: Path) -> None:
    fetch(project)
    before = (project / LIBRARY / "lightweight-charts.js").read_bytes()
    (project / "requirements/npm/package-lock.json").write_text("{}")
    (project / "broken").touch()
    assert fetch(project)[0] == 2
    assert (project / LIBRARY / "lightweight-charts.js").read_bytes() == before
    (project / "broken").unlink()
    code, calls = fetch(project)
    assert (code, len(calls)) == (0, 1)
