"""Clients that are generated from /openapi.json of the demo: their types, and what they read.

The programs are the examples of docs/api.md. `make clients-check` installs the generators.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from checks.fuzz import demo
from tests.conftest import absent
from tests.support.documents import blocks
from tests.support.figures import say
from tests.support.processes import DEADLINE, ROOT

TOOLS: Final = ROOT / ".tools" / "clients"
PYTHON: Final = TOOLS / "bin" / "python"
EXAMPLE: Final = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def tools() -> dict[str, str]:
    """The environment of a user who has the generators, and no proxy."""
    if not (TOOLS / ".installed").exists():
        absent("clients", "the generators are not installed: make clients-check")
    path = f"{TOOLS / 'bin'}:{TOOLS / 'node_modules' / '.bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": os.environ["HOME"]}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo with data."""
    with demo(tmp_path_factory.mktemp("demo")) as address:
        yield address


def example(kind: str, url: str) -> str:
    """The program of this kind in docs/api.md, for the API at `url`."""
    every = blocks(ROOT / "docs" / "api.md")
    (text,) = (block.text for block in every if block.kind == kind and block.needs)
    assert EXAMPLE in text
    return text.replace(EXAMPLE, url)


def output(folder: Path, environment: dict[str, str], *command: str | Path) -> str:
    """What a command prints. It has to succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE * 5,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def read(url: str) -> Any:
    """The body of a reply, read as JSON."""
    with urllib.request.urlopen(url, timeout=DEADLINE) as reply:
        return json.load(reply)


def test_a_python_client_is_generated_without_a_warning_has_strict_types_and_reads(
    tools: dict[str, str], url: str, tmp_path: Path
) -> None:
    (tmp_path / "client.yaml").write_text("content_type_overrides: {image/svg+xml: text/plain}\n")
    output(
        tmp_path,
        tools,
        *("openapi-python-client", "generate", "--fail-on-warning", "--config", "client.yaml"),
        *("--url", f"{url}/openapi.json", "--output-path", "generated"),
    )
    folder = tmp_path / "generated"
    (folder / "reads.py").write_text(example("python", url))
    types = output(
        folder,
        tools,
        *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
        *("--python-executable", PYTHON, "mms_api_client", "reads.py"),
    )
    say(f"mypy --strict: {types.strip()}")
    lines = output(folder, tools, PYTHON, "reads.py").splitlines()
    say("\n".join(lines))
    newest, candle = read(f"{url}/BRLBTC/mms?range=20")[-1], read(f"{url}/BRLBTC/candles")[-1]
    *series, average, prices, problem = lines
    assert [line.split()[:2] for line in series] == [
        [each["pair"], each["interval"]] for each in read(f"{url}/pairs")["pairs"]
    ]
    assert average == f"{newest['timestamp']} {newest['mms']}"
    assert prices.startswith(f"{candle['close']} {newest['mms']} ")
    assert problem.startswith("unsupported-pair 'BRLXYZ' is not served")


def test_types_for_typescript_compile_strictly_and_a_program_reads_with_them(
    tools: dict[str, str], url: str, tmp_path: Path
) -> None:
    output(tmp_path, tools, "openapi-typescript", f"{url}/openapi.json", "--output", "mms.ts")
    (tmp_path / "averages.mts").write_text(example("ts", url))
    output(
        tmp_path,
        tools,
        *("tsc", "--strict", "--noEmit", "--target", "es2022", "--module", "esnext"),
        *("--moduleResolution", "bundler", "mms.ts", "averages.mts"),
    )
    newest = read(f"{url}/BRLBTC/mms?range=20")[-1]
    printed = output(tmp_path, tools, "node", "averages.mts")
    say(f"node averages.mts: {printed.strip()}")
    assert printed.split() == [str(newest["timestamp"]), str(newest["mms"])]
