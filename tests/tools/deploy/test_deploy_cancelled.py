"""A deployment that is cancelled on GitHub."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[3]
INTERRUPTED = """
import pathlib, signal, sys, time
said = pathlib.Path(sys.argv[1])

def leave(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(0.5)
    said.write_text(f"{signal.Signals(number).name}, and taken back")
    sys.exit(3)

signal.signal(signal.SIGINT, leave)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_deployment_that_is_cancelled_hears_of_it_and_is_waited_for(tmp_path: Path) -> None:
    """GitHub signals the step's first process: SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL."""
    for program in ("make", "bash"):
        if shutil.which(program) is None:
            absent(program, f"{program} is not installed")
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()
    (line,) = re.findall(r"run: (.*make deploy)\b", text)
    step, said, python = tmp_path / "step.sh", tmp_path / "said", tmp_path / "python"
    step.write_text(f"{line}\n")
    # The first is identity, as it is; what it runs stands in for the deployment.
    python.write_text(
        f'#!/bin/sh\n[ $2 = infra.deploy ] || exec {shlex.quote(sys.executable)} "$@"\n'
        f"exec {shlex.quote(sys.executable)} -c {shlex.quote(INTERRUPTED)} {shlex.quote(str(said))}\n"
    )
    python.chmod(0o755)
    flags = f"-s -o ready-ship DEPLOY={python}"
    with subprocess.Popen(
        ["bash", "-e", str(step)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "MAKEFLAGS": flags},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            process.kill()
    assert said.read_text().endswith(", and taken back")
