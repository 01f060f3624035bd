"""The first word of a container: which command it starts, and with which arguments."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "infra" / "image" / "entrypoint.sh"
KNOWN = {
    "api": "app.serve",
    "migrate": "app.db.migrate",
    "initial-load": "app.workers.initial_loader",
    "incremental": "app.workers.incremental_loader",
    "collect": "app.workers.price_collector",
    "monitor": "app.monitoring.gap_monitor",
}


def start(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script where `python` writes down its process number and its arguments."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$$"\nprintf "%s\\n" "$@"\nexit 7\n')
    python.chmod(0o755)
    return subprocess.run(
        [str(SCRIPT), *words],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("word", "module"), KNOWN.items())
def test_each_word_starts_its_module_with_the_other_words_as_they_are(
    tmp_path: Path, word: str, module: str
) -> None:
    done = start(tmp_path, word, "--pairs", "BRLBTC, ETH-BRL", "")
    assert done.stdout.split("\n")[1:-1] == ["-m", module, "--pairs", "BRLBTC, ETH-BRL", ""]
    assert done.returncode == 7
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_python_takes_the_place_of_the_shell(tmp_path: Path) -> None:
    """Then it is process 1 of the container, and gets the signals."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$$"\n')
    python.chmod(0o755)
    with subprocess.Popen(
        [str(SCRIPT), "api"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        told, _ = process.communicate()
    assert int(told) == process.pid


@pytest.mark.parametrize("words", [("serve",), ("API",), ("",), ("-m", "app.serve"), ()])
def test_an_unknown_word_ends_with_2_and_names_what_is_allowed(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = start(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(re.search(rf"(?m)^{word} ", done.stderr) for word in KNOWN)
    if words:
        assert done.stderr.startswith(f"{words[0]} is no entry point of this image.")


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_lists_the_entry_points(tmp_path: Path, word: str) -> None:
    done = start(tmp_path, word)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines() if "  " in line] == list(KNOWN)
