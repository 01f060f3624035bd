"""The package as it is built and as it works in a folder that has nothing of the repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest

import app
from tests.support.processes import environment

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel of the files as they are, built without a network."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "build", "dist", "data")
    shutil.copytree(ROOT, source, ignore=ignored, dirs_exist_ok=True)
    command = [sys.executable, "-c", BUILD, str(dist)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = dist.iterdir()
    return ZipFile(built)


def test_the_wheel_holds_the_application_and_nothing_else(wheel: ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = [path for path in (ROOT / "app").rglob("*") if path.suffix in (".py", ".typed")]
    files += (ROOT / "app/api/docs").iterdir()
    # With the chart's library and its license, where it is fetched; the list that it came by stays.
    page = {path for path in (ROOT / "app/api/page").rglob("*") if path.is_file()}
    files += [path for path in page if path.name != "package-lock.json"]
    assert names == {str(path.relative_to(ROOT)) for path in files}
    assert "app/py.typed" in names
    assert "app/db/migrations/versions/v0001_candles_and_averages.py" in names


def test_its_metadata_are_whole(wheel: ZipFile) -> None:
    folder = f"mms_api-{app.__version__}.dist-info"
    text = message_from_string(wheel.read(f"{folder}/METADATA").decode())
    assert (text["Name"], text["Version"]) == ("mms-api", app.__version__)
    assert (text["License-Expression"], text["Requires-Python"]) == ("MIT", ">=3.11")
    assert str(text.get_payload()).startswith("# MMS API")
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert "mms = app.__main__:console" in wheel.read(f"{folder}/entry_points.txt").decode()


def test_what_is_installed_finds_its_migrations_and_makes_its_data_where_it_runs(
    wheel: ZipFile, tmp_path: Path
) -> None:
    site, here = tmp_path / "site", tmp_path / "here"
    wheel.extractall(site)
    here.mkdir()
    code = "import app; from app.commands.migrate import main; print(app.__file__); main([])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=here,
        env=environment(here, PYTHONPATH=str(site), DB_URL="sqlite:///./data/mms.db"),
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(str(site))
    assert (here / "data" / "mms.db").is_file()
