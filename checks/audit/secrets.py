"""Secrets in the whole history: every line of every version of every file, once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from checks.report import CannotCheckError

_NOISY = {"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector"}
"""Detectors that take every checksum and every address for a secret: a lock file has thousands."""


@dataclass(frozen=True)
class Allowed:
    """Lines that look like a secret and are none."""

    pattern: re.Pattern[str]
    reason: str


@dataclass(frozen=True)
class Found:
    """A line that looks like a secret; `shown` holds none of it but its beginning."""

    path: str
    kind: str
    shown: str


@dataclass(frozen=True)
class Searched:
    """What a search found, how much it looked at, and which exemptions it needed."""

    found: tuple[Found, ...]
    blobs: int
    lines: int
    used: set[Allowed]


def read_allowed(file: Path) -> tuple[Allowed, ...]:
    """The exemptions: a comment with the reason, and below it the expressions it stands for.

    Raises CannotCheckError for an expression without a reason.
    """
    rules: list[Allowed] = []
    reason = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            reason = text.removeprefix("#").strip()
        elif not text:
            reason = ""
        elif not reason:
            raise CannotCheckError(f"{file.name}: {text!r} has no reason above it")
        else:
            rules.append(Allowed(re.compile(text), reason))
    return tuple(rules)


Scan = Callable[[str], Iterable[str]]
"""A line to the kinds of secrets that it seems to hold."""


def search(versions: Iterable[tuple[str, str]], rules: Sequence[Allowed], scan: Scan) -> Searched:
    """Search the versions of files, each with its path. A repeated line is searched once."""
    seen: set[str] = set()
    secrets: list[Found] = []
    used: set[Allowed] = set()
    blobs = 0
    for path, text in versions:
        blobs += 1
        for line in sorted(set(text.splitlines()) - seen):
            seen.add(line)
            for kind in scan(line):
                rule = next((rule for rule in rules if rule.pattern.search(line)), None)
                if rule is not None:
                    used.add(rule)
                    continue
                secrets.append(Found(path, kind, f"{line.strip()[:24]}…"))
    return Searched(tuple(secrets), blobs, len(seen), used)


@contextmanager
def detectors() -> Iterator[Scan]:
    """The detectors of detect-secrets, but for those that take every checksum for a secret.

    Raises CannotCheckError where they do not find a secret that is put before them.
    """
    # They belong to the environment of `make audit` alone.
    from detect_secrets.core.plugins.util import (  # noqa: PLC0415
        get_mapping_from_secret_type_to_class,
    )
    from detect_secrets.core.scan import scan_line  # noqa: PLC0415
    from detect_secrets.settings import transient_settings  # noqa: PLC0415

    names = {kind.__name__ for kind in get_mapping_from_secret_type_to_class().values()} - _NOISY

    def scan(line: str) -> list[str]:
        return [str(secret.type) for secret in scan_line(line)]

    with transient_settings({"plugins_used": [{"name": name} for name in sorted(names)]}):
        planted = f"key = {'AKIA' + 'Q' * 16}"
        if not scan(planted):
            raise CannotCheckError("the detectors do not find a key that is put before them")
        yield scan


def versions_of(root: Path) -> Iterator[tuple[str, str]]:
    """Every version of every file with its path: in any commit up to HEAD, and in the index."""
    listed = _git(root, "rev-list", "--objects", "HEAD").decode().splitlines()
    paths = dict(line.split(" ", 1) for line in listed if " " in line)
    for line in _git(root, "ls-files", "--stage").decode().splitlines():
        kept, _, path = line.partition("\t")
        paths.setdefault(kept.split(" ")[1], path)
    names = "".join(f"{name}\n" for name in paths)
    answered = _git(root, "cat-file", "--batch", given=names.encode())
    at = 0
    while at < len(answered):
        end = answered.index(b"\n", at)
        name, kind, size = answered[at:end].decode().split(" ")
        content = answered[end + 1 : end + 1 + int(size)]
        at = end + 1 + int(size) + 1
        if kind == "blob":
            yield paths[name], content.decode("utf-8", "replace")


def _git(root: Path, *words: str, given: bytes | None = None) -> bytes:
    done = subprocess.run(  # noqa: S603 - git, by name
        ["git", *words],  # noqa: S607
        cwd=root,
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise CannotCheckError(f"git {words[0]} failed: {done.stderr.decode()[-300:]}")
    return done.stdout
