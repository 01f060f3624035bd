"""The import contracts of pyproject.toml refuse what they are there to refuse."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = "from importlinter.cli import lint_imports_command as main; main()"

# What is planted: the contract that must object, a module, and the line added to it.
PLANTED = [
    ("floors", "utils/fixed_point.py", "import app.db"),
    ("floors", "core/market.py", "from app.utils import fixed_point"),
    ("floors", "services/__init__.py", "import app.bootstrap"),
    ("floors", "sources/http.py", "import app.db.session"),
    ("floors", "api/__init__.py", "import app.workers.run"),
    ("floors", "workers/__init__.py", "import app.monitoring"),
    ("stand-in", "monitoring/__init__.py", "import app.sandbox"),
    ("floors", "main.py", "import app.serve"),
    ("floors", "helpers.py", "A_MODULE_THAT_NO_FLOOR_NAMES = True"),
    ("httpx", "services/__init__.py", "import httpx"),
    ("httpx", "sandbox/__init__.py", "from httpx import Client"),
    ("sql", "api/__init__.py", "from sqlalchemy import select"),
    ("sql", "bootstrap.py", "import alembic.command"),
    ("memcached", "db/session.py", "from pymemcache.client.base import PooledClient"),
    ("web", "services/__init__.py", "from fastapi import HTTPException"),
    ("web", "workers/__init__.py", "import starlette.status"),
    ("uvicorn", "main.py", "import uvicorn"),
    ("numpy", "api/errors.py", "import numpy as np"),
    ("numpy", "bootstrap.py", "import app.utils.moving_average"),
    ("sandbox", "sandbox/__init__.py", "import app.sources.http"),
    ("pure", "utils/fixed_point.py", "import time"),
    ("pure", "utils/fixed_point.py", "import app.core.settings"),
]


def contracts() -> dict[str, dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {item["id"]: item for item in settings["tool"]["importlinter"]["contracts"]}


def lint(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LINT, "--no-logo", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code that may be spoilt; the linter's cache in it keeps the runs short."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "app", folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_code_as_it_is_keeps_every_contract(house: Path) -> None:
    run = lint(house)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(contracts())} kept, 0 broken" in run.stdout


@pytest.mark.parametrize(("contract", "module", "line"), PLANTED)
def test_a_planted_wrong_import_is_refused(
    house: Path, contract: str, module: str, line: str
) -> None:
    spoilt = house / "app" / module
    before = spoilt.read_text() if spoilt.exists() else None
    try:
        spoilt.write_text(f"{before or ''}\n{line}\n")
        run = lint(house, "--contract", contract)
    finally:
        spoilt.unlink() if before is None else spoilt.write_text(before)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"{contracts()[contract]['name']} BROKEN" in " ".join(run.stdout.split())


def test_every_contract_has_a_planted_import_that_it_refuses() -> None:
    assert {contract for contract, _, _ in PLANTED} == set(contracts())
