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


def start(tmp_path: Path, *words: str) -> tuple[int, subprocess.CompletedProcess[str]]:
    """Run the script where `python` prints its process number and its arguments; with the script's."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$$"\nprintf "%s\\n" "$@"\nexit 7\n')
    python.chmod(0o755)
    with subprocess.Popen(
        [str(SCRIPT), *words],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        out, err = process.communicate()
    return process.pid, subprocess.CompletedProcess(words, process.returncode, out, err)


@pytest.mark.parametrize(("word", "module"), KNOWN.items())
def test_each_word_starts_its_module_with_the_other_words_in_place_of_the_shell(
    tmp_path: Path, word: str, module: str
) -> None:
    """Then it is process 1 of the container, and gets the signals."""
    pid, done = start(tmp_path, word, "--pairs", "BRLBTC, ETH-BRL", "")
    assert done.stdout.split("\n")[:-1] == [
        *(str(pid), "-m", module),
        *("--pairs", "BRLBTC, ETH-BRL", ""),
    ]
    assert done.returncode == 7
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize("words", [("API",), ("",), ("-m", "app.serve"), ()])
def test_an_unknown_word_ends_with_2_and_names_what_is_allowed(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    _, done = start(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert all(re.search(rf"(?m)^{word} ", done.stderr) for word in KNOWN)


def test_help_lists_the_entry_points(tmp_path: Path) -> None:
    _, done = start(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines() if "  " in line] == list(KNOWN)
