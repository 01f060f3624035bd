"""The build context: the project as it is, with secrets planted where people leave them."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checks import commands

ROOT: Final = Path(__file__).resolve().parents[2]

PLANTED: Final = (
    ".env",
    ".env.production",
    ".git/config",
    ".pypirc",
    "data/mms.db",
    "data/backup.mmsb",
    "secrets/db_password",
    "terraform.tfstate",
    "infra/terraform.tfvars",
    "infra/image/registry.json",
    "infra/image/server.key",
    "id_rsa",
    "app/.env",
    "app/id_rsa",
    "app/api/docs/.env",
    "app/api/page/library/LICENSE",
    "app/api/page/library/lightweight-charts.js",
    "app/data/mms.db",
    "app/core/settings.py.bak",
    "app/db/migrations/versions/notes.txt",
    "tests/recorded.json",
)
"""Files that must never reach an image, at the places where they really come to lie."""


@dataclass(frozen=True, slots=True)
class Context:
    """A folder to build from, and the mark that every planted secret carries."""

    folder: Path
    mark: str


def plant(folder: Path) -> Context:
    """Copy the project into `folder` and plant the secrets in the copy."""
    for path in _files():
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, copy)
    mark = f"planted{secrets.token_hex(12)}"
    for name in PLANTED:
        place = folder / name
        if place.exists():
            raise FileExistsError(f"{place} belongs to the project: plant the secret elsewhere")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"password={mark}\n")
    return Context(folder, mark)


def revision() -> str:
    """The commit of the tree, with a + where files differ from it; `unknown` without git."""
    if not (ROOT / ".git").exists():
        return "unknown"
    head = commands.run(["git", "rev-parse", "HEAD"], folder=ROOT)
    changed = commands.run(["git", "status", "--porcelain"], folder=ROOT)
    return f"{head.out.strip()}{'+' if changed.out else ''}" if head.code == 0 else "unknown"


def _files() -> list[str]:
    """Every file of the project; where there is no git, everything but what is made on the spot."""
    if (ROOT / ".git").exists():
        listed = commands.must(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], folder=ROOT
        )
        return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    generated = {".venv", "data", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    paths = (path.relative_to(ROOT) for path in sorted(ROOT.rglob("*")) if path.is_file())
    return [str(path) for path in paths if not generated & set(path.parts)]
