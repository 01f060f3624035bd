"""The application object: nothing before its lifespan, everything given back after it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap import Runtime
from app.core.errors import StoreUnusable
from app.core.settings import Settings
from app.main import create_app
from tests.support.api import FakeRuntime, settings, started

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_opened_at_the_start_is_given_back_once_at_the_end() -> None:
    runtime = FakeRuntime()
    built: list[Settings] = []

    def build(chosen: Settings) -> Runtime:
        built.append(chosen)
        return runtime.build(chosen)

    mine = settings(history_days=10)
    app = create_app(mine, build)
    assert built == []
    with started(app):
        assert built == [mine]
        assert runtime.closed == 0
    assert runtime.closed == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnusable("run make migrate"), "^run make migrate$"),
        (ZeroDivisionError("a mistake of ours"), "Traceback"),
    ],
)
def test_a_server_is_told_one_sentence_of_ours_or_the_traceback_of_a_mistake(
    error: Exception, said: str
) -> None:
    def build(_: Settings) -> Runtime:
        raise error

    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        told.append(message)

    with pytest.raises(type(error)):
        asyncio.run(create_app(settings(), build)({"type": "lifespan"}, receive, send))
    [message] = told
    assert message["type"] == "lifespan.startup.failed"
    assert re.search(said, message["message"])


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
