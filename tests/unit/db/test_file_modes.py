"""What is written is for its owner alone, whatever the umask; existing files keep their modes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.db import schema
from app.db.backup.content import back_up, restore
from app.db.database import open_engine


@pytest.fixture(params=[0o000, 0o022, 0o077], ids="umask {:03o}".format)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """The mode of everything below a folder."""
    return {
        str(path.relative_to(folder)): f"{stat.S_IMODE(path.stat().st_mode):04o}"
        for path in folder.rglob("*")
    }


@pytest.mark.usefixtures("_umask")
def test_databases_and_backups_and_their_folders_are_for_the_owner_alone(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/a/b/mms.db")
    schema.migrate(engine)
    with engine.connect() as reader:
        reader.execute(text("SELECT 1 FROM prices"))  # keeps the files beside the database
        back_up(engine, tmp_path / "a" / "b" / "one.mmsb", lambda: 0)
        copy = open_engine(f"sqlite:///{tmp_path}/a/c/copy.db")
        restore(copy, tmp_path / "a" / "b" / "one.mmsb", replace=False)
        with copy.connect() as other:
            other.execute(text("SELECT 1 FROM prices"))
            found = modes(tmp_path)
    engine.dispose()
    copy.dispose()
    folders = {"a", "a/b", "a/c"}
    files = {f"a/{name}{end}" for name in ("b/mms.db", "c/copy.db") for end in ("", "-wal", "-shm")}
    assert found == dict.fromkeys(folders, "0700") | dict.fromkeys([*files, "a/b/one.mmsb"], "0600")


@pytest.mark.usefixtures("_umask")
def test_what_exists_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mms.db").touch()
    folder.chmod(0o750)
    (folder / "mms.db").chmod(0o640)
    engine = open_engine(f"sqlite:///{folder}/mms.db")
    schema.migrate(engine)
    back_up(engine, folder / "one.mmsb", lambda: 0)
    (folder / "one.mmsb").chmod(0o640)
    back_up(engine, folder / "one.mmsb", lambda: 1)
    engine.dispose()
    assert modes(tmp_path) == {"data": "0750", "data/mms.db": "0640", "data/one.mmsb": "0640"}
