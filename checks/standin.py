"""Base images made from Debian packages, for where no image registry can be reached.

Such an image stands in for the one of a registry under the very same name, so that the Dockerfile
is built as it is. It proves the Dockerfile and the application; it proves nothing about the
registry's image, and whoever uses it says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from checks import commands
from checks.engine import Engine

SUITE: Final = "bookworm"
PYTHON: Final = ("python3", "python3-venv", "ca-certificates")
"""What a Python base image consists of, in Debian's packages."""

# As the slim images do it: no manuals, no translations.
_LEAN: Final = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")


def unpack(folder: Path, name: str, packages: Sequence[str], hooks: Sequence[str] = ()) -> Path:
    """A root file system with these packages as a tar file, made once in `folder`.

    `hooks` are shell lines that run when everything is installed, with the new root as $1.
    """
    archive = folder / f"{name}.tar"
    if archive.exists():
        return archive
    unfinished = folder / f"{name}.part.tar"
    commands.must(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _LEAN),
            *(f"--customize-hook={hook}" for hook in hooks),
            SUITE,
            str(unfinished),
        ],
        timeout=900.0,
    )
    return unfinished.rename(archive)


def load(engine: Engine, archive: Path, tag: str, changes: Sequence[str] = ()) -> None:
    """Make an image of the archive, called `tag`; `changes` are lines such as `USER nobody`."""
    options = [word for change in changes for word in ("--change", change)]
    engine.must("import", *options, str(archive), tag, timeout=300.0)


def python_base(engine: Engine, folder: Path, tag: str) -> None:
    """Make the stand-in of the Python base image, called `tag`."""
    link = 'ln -s ../../bin/python3 "$1/usr/local/bin/python"'
    load(engine, unpack(folder, "python", PYTHON, [link]), tag, ['CMD ["python"]'])
