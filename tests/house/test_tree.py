"""What does not belong in the history: data, databases, states, facts of one machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[2]

DATA = {
    ".csv", ".db", ".db-shm", ".db-wal", ".feather", ".gz", ".log", ".npy", ".npz", ".parquet",
    ".pickle", ".pkl", ".sqlite", ".sqlite3", ".tfstate", ".xz", ".zip", ".zst",
}  # fmt: skip
SOMEONES_HOME = re.compile(r"/(?:home|Users)/[A-Za-z]|/roo[t]/|[A-Z]:\\\\?Users\\")


def test_no_tracked_file_is_data_or_private_or_names_a_persons_folder() -> None:
    """Secrets `make audit` looks for, in every version that there ever was."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        absent("git", "this copy of the project has no history to look into")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
    assert [path for path in tracked if path.suffix in DATA or path.name == ".env"] == []
    named = {
        path: found[0]
        for path in tracked
        if (found := SOMEONES_HOME.search(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert named == {}
