"""What does not belong in the history: data, databases, states, facts of one machine."""

from __future__ import annotations

import re

from tests.support.tree import files

DATA = {
    ".csv", ".db", ".db-shm", ".db-wal", ".feather", ".gz", ".log", ".npy", ".npz", ".parquet",
    ".pickle", ".pkl", ".sqlite", ".sqlite3", ".tfstate", ".xz", ".zip", ".zst",
}  # fmt: skip
SOMEONES_HOME = re.compile(r"/(?:home|Users)/[A-Za-z]|/roo[t]/|[A-Z]:\\\\?Users\\")


def test_no_tracked_file_is_data_or_private_or_names_a_persons_folder() -> None:
    """Secrets `make audit` looks for, in every version that there ever was."""
    tracked = files()
    assert [path for path in tracked if path.suffix in DATA or path.name == ".env"] == []
    named = {
        path: found[0]
        for path in tracked
        if (found := SOMEONES_HOME.search(path.read_text(encoding="utf-8", errors="replace")))
    }
    assert named == {}
