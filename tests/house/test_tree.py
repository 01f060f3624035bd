"""What may stand in the project: its files, their size, and what a module may do to be heard."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]

# Recorded and made data, databases and states do not belong into the history, and neither does what
# is true of one machine only.
DATA = {
    ".csv", ".db", ".db-shm", ".db-wal", ".feather", ".gz", ".log", ".npy", ".npz", ".parquet",
    ".pickle", ".pkl", ".sqlite", ".sqlite3", ".tfstate", ".xz", ".zip", ".zst",
}  # fmt: skip
SOMEONES_HOME = re.compile(r"(?:/(?:home|Users)/[A-Za-z]|/roo[t]/|[A-Z]:\\\\?Users\\)")
SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}")
BIGGEST_FILE = 300_000
LONGEST_MODULE = 300


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file that is in git, or that `git add .` would put there."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        absent("git", "this copy of the project has no history to look into")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_data_and_no_private_file_is_tracked(tracked: list[Path]) -> None:
    assert [path for path in tracked if path.suffix in DATA or path.name == ".env"] == []
    assert [path for path in tracked if path.stat().st_size > BIGGEST_FILE] == []


def test_no_tracked_file_names_a_persons_folder_or_holds_a_key(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [
            f"{path}: {m[0]}" for rule in (SOMEONES_HOME, SECRET) for m in rule.finditer(text)
        ]
    assert found == []


def modules() -> list[Path]:
    return sorted((ROOT / "app").rglob("*.py"))


def test_no_module_is_longer_than_people_read_at_once() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    assert {path: n for path, n in lengths.items() if n > LONGEST_MODULE} == {}


def test_only_the_modules_that_speak_to_people_print() -> None:
    """The list of them is the linter's own, so that there is one."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    allowed = {name for name, rules in ruff["per-file-ignores"].items() if "T20" in rules}
    printing = {
        str(path.relative_to(ROOT))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    }
    assert printing <= allowed
    assert [name for name in allowed if name.startswith("app/") and name not in printing] == []


def test_every_package_of_the_application_can_be_imported_as_one() -> None:
    folders = {path.parent for path in modules()}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
