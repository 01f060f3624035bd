"""What git may do to the files of a checkout: nothing, whatever its settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.support.processes import ROOT
from tests.support.tree import files, make

WINDOWS = [
    *["-c", "core.autocrlf=true", "-c", "core.eol=crlf", "-c", "core.safecrlf=false"],
    *["-c", "core.symlinks=false"],
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as git for Windows makes it, of what is committed."""
    if not (ROOT / ".git").exists():
        absent("git", "this copy of the project has no history to clone")
    folder = tmp_path_factory.mktemp("windows") / "mms-api"
    command = ["git", *WINDOWS, "clone", "--quiet", "--no-tags", "--single-branch", str(ROOT)]
    subprocess.run([*command, str(folder)], check=True, capture_output=True)
    return folder


def test_a_checkout_with_windows_settings_has_the_line_ends_that_were_committed(
    checkout: Path,
) -> None:
    tracked = [checkout / path.relative_to(ROOT) for path in files()]
    contents = {path: path.read_bytes() for path in tracked if path.is_file()}
    texts = {path: content for path, content in contents.items() if b"\0" not in content}
    assert [path for path, content in texts.items() if b"\r" in content] == []
    # The next commit from there is as clean.
    status = ["git", *WINDOWS, "status", "--porcelain"]
    assert subprocess.run(status, cwd=checkout, check=True, capture_output=True).stdout == b""


def test_make_and_every_script_run_from_such_a_checkout(checkout: Path) -> None:
    assert "make run_local" in make("-C", str(checkout), "help")
    for script in checkout.glob("**/*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
    said = subprocess.run(
        [str(checkout / "infra/image/entrypoint.sh"), "help"], check=True, capture_output=True
    )
    assert b"initial-load" in said.stdout
