"""The application object: nothing before its lifespan, everything given back after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.errors import ConfigurationError, MmsError, StoreUnusable
from app.core.settings import Settings
from app.main import create_app
from tests.support.api import FakeRuntime, StartFailed, settings, started

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_opened_at_the_start_is_given_back_once_at_the_end() -> None:
    runtime = FakeRuntime()
    built: list[Settings] = []

    def build(chosen: Settings) -> object:
        built.append(chosen)
        return runtime.build(chosen)

    mine = settings(history_days=10)
    app = create_app(mine, build)  # type: ignore[arg-type] # a fake of `for_api`
    assert built == []
    with started(app):
        assert built == [mine]
        assert runtime.closed == 0
    assert runtime.closed == 1


@pytest.mark.parametrize(
    "error", [ConfigurationError("PORT=x: write a number"), StoreUnusable("run make migrate")]
)
def test_a_start_that_fails_says_one_sentence(error: MmsError) -> None:
    def build(_: Settings) -> object:
        raise error

    with (
        pytest.raises(StartFailed) as failed,
        started(create_app(settings(), build)),  # type: ignore[arg-type] # a fake of `for_api`
    ):
        pass
    assert str(failed.value) == str(error)


def test_a_start_that_fails_for_another_reason_keeps_its_traceback() -> None:
    def build(_: Settings) -> object:
        raise ZeroDivisionError("a mistake of ours")

    with (
        pytest.raises(ZeroDivisionError),
        started(create_app(settings(), build)),  # type: ignore[arg-type] # a fake of `for_api`
    ):
        pass


def test_importing_the_application_reads_no_setting_and_opens_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "PORT": "nonsense", "DB_URL": "nonsense", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "import sys, app.main; print('numpy' in sys.modules)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
    assert list(tmp_path.iterdir()) == []
