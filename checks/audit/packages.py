"""Known vulnerabilities of every pinned package, by pip-audit and PyPI's vulnerability service.

pip-audit counts as clean whatever its service says nothing about, and leaves out what this machine
would not install. So all pins are asked about without their markers, an answer is due for each, and
a flaw that everybody knows is asked about beside them: where the service does not name it, it says
nothing about the others either.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from checks.commands import run
from checks.report import CannotCheckError, Report

_PIN: Final = re.compile(r"(?m)^([A-Za-z0-9][\w.-]*)(?:\[[^]]*])?==([^\s;\\]+)")


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """A package at a version, as a list of requirements pins it."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


PLANTED: Final = Pin("flask", "0.5")
"""It has had known vulnerabilities since 2018 (PYSEC-2018-66), and is in no list of ours."""

Ask = Callable[[Sequence[Pin]], Iterable[dict[str, Any]]]
"""Pins of different packages to what pip-audit's report says of each. Raises CannotCheckError."""


def pins(root: Path) -> list[Pin]:
    """Every pin of requirements.txt and requirements/, once."""
    lists = [root / "requirements.txt", *root.glob("requirements/*.txt")]
    return sorted(
        {Pin(*found) for file in lists for found in _PIN.findall(file.read_text("utf-8"))}
    )


def judge(report: Report, pinned: Sequence[Pin], ask: Ask) -> None:
    """Report the vulnerable packages, and those that the service does not know.

    Raises CannotCheckError where the service does not answer, or does not know PLANTED.
    """
    answers = {pin: each for some in _rounds([*pinned, PLANTED]) for pin, each in _asked(some, ask)}
    planted = answers.pop(PLANTED, {})
    if not planted.get("vulns"):
        why = planted.get("skip_reason", "it names no vulnerability")
        raise CannotCheckError(
            f"the vulnerability service does not know {PLANTED}, so it is none ({why})"
        )
    vulnerable = [pin for pin in pinned if answers.get(pin, {}).get("vulns")]
    for pin in vulnerable:
        for flaw in answers[pin]["vulns"]:
            mended = ", ".join(flaw["fix_versions"]) or "no version yet"
            report.note(f"{pin}: {flaw['id']}, mended in {mended}")
    unknown = {
        pin: answers.get(pin, {}).get("skip_reason", "pip-audit has left it out")
        for pin in pinned
        if "vulns" not in answers.get(pin, {})
    }
    for pin, why in unknown.items():
        report.note(f"not audited: {pin} ({why})")
    audited = len(pinned) - len(unknown)
    report.equal(f"vulnerable, of {audited} audited packages", len(vulnerable), 0)
    report.equal(f"not audited, of {len(pinned)} packages", len(unknown), 0)


def _rounds(pinned: Iterable[Pin]) -> list[list[Pin]]:
    """The pins in as few lists as possible in which each package stands once: pip-audit's rule."""
    versions: dict[str, list[Pin]] = {}
    for pin in pinned:
        versions.setdefault(pin.name, []).append(pin)
    return [[pin for pin in some if pin is not None] for some in zip_longest(*versions.values())]


def _asked(some: Sequence[Pin], ask: Ask) -> Iterable[tuple[Pin, dict[str, Any]]]:
    by_name = {pin.name: pin for pin in some}
    for answer in ask(some):
        pin = by_name[answer["name"]]
        if answer.get("version", pin.version) == pin.version:
            yield pin, answer


def ask_pip_audit(
    some: Sequence[Pin], program: Path = Path(sys.executable).parent / "pip-audit"
) -> Iterable[dict[str, Any]]:
    """Ask PyPI about these pins. Raises CannotCheckError where it does not answer."""
    with TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("".join(f"{pin.name}=={pin.version}\n" for pin in some), "utf-8")
        command = [str(program), "--no-deps", "--disable-pip", "--format=json"]
        # Without pip's cache of replies: a clean bill of last week is none.
        command += ["--progress-spinner=off", f"--cache-dir={folder}", f"--requirement={listed}"]
        done = run(command, timeout=600.0)
    try:
        answers: list[dict[str, Any]] = json.loads(done.out)["dependencies"]
    except (ValueError, KeyError) as error:
        last = done.err.strip().splitlines()[-1:]
        raise CannotCheckError(f"pip-audit could not ask: {' '.join(last)[-300:]}") from error
    return answers
