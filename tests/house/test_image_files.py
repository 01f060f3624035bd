"""The Dockerfile keeps its rules, and what is handed to the builder is the application alone.

What the image that was built holds and does `make image-check` proves.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from checks.image.context import PLANTED
from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def stages() -> list[str]:
    """The text of each build stage, comments left out and continued lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE).replace("\\\n", " ")
    return re.split(r"(?m)^(?=FROM )", text)[1:]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps the path out: the last pattern that fits it or its folder decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        keep, pattern = line.startswith("!"), line.removeprefix("!")
        if _fits(pattern, path):
            out = not keep
    return out


def _fits(pattern: str, path: str) -> bool:
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    rule = "".join(words.get(part) or re.escape(part) for part in parts)
    return re.fullmatch(f"{rule}(?:/.*)?", path) is not None


@pytest.mark.parametrize(
    "path",
    [*PLANTED, "tests/conftest.py", ".git/HEAD", "docs/x.md", "checks/engine.py", "README.md"],
)
def test_what_is_not_the_application_is_kept_out_or_dropped(path: str) -> None:
    """What has no dot in its name, inside the application, is dropped by the Dockerfile."""
    assert ignored(path) or (path.startswith("app/") and "." not in Path(path).name)
    assert '-type f ! -name "*.py" -delete' in stages()[0]


def test_everything_that_the_image_needs_is_let_in() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        absent("git", "this copy of the project has no history to look into")
    command = ["git", "ls-files", "-co", "--exclude-standard", "app"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    application = [name for name in listed.stdout.split() if (ROOT / name).is_file()]
    assert application
    assert [path for path in application if not path.endswith(".py")] == []
    copied = re.findall(r"(?m)^COPY (?!--from)(\S+) \S+$", "".join(stages()))
    others = [
        str(file.relative_to(ROOT))
        for name in copied
        for file in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).glob("*.*"))
        if name != "app"
    ]
    assert {"requirements.txt", "infra/image/entrypoint.sh"} <= set(others)
    assert [path for path in [*application, *others] if ignored(path)] == []


def test_the_last_stage_takes_only_what_the_first_one_made_upon_the_same_base() -> None:
    assert [stage.split("\n")[0] for stage in stages()] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    copies = re.findall(r"(?m)^COPY (.*)$", stages()[-1])
    assert copies
    assert [line for line in copies if not line.startswith("--from=build /opt/")] == []
    assert "ADD " not in DOCKERFILE


def test_the_image_has_the_version_of_the_project() -> None:
    version = re.findall(r'(?m)^version = "(.*)"$', (ROOT / "pyproject.toml").read_text())
    assert re.findall(r"(?m)^ARG VERSION=(.*)$", DOCKERFILE) == version
