"""Looking into an image: every file of every layer, and all that the engine says about it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from checks.engine import Engine


def save(engine: Engine, image: str, archive: Path) -> Path:
    """Write the image with all its layers into a tar file."""
    archive.unlink(missing_ok=True)
    engine.must("save", "--output", str(archive), image, timeout=600.0)
    return archive


def files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The path and content of every file in every layer, then of the image's descriptions.

    Works for the archives of docker (old and OCI) and of podman, whose layers may be compressed. A
    file that a later layer deletes is still in the earlier one.
    """
    with tarfile.open(archive) as outer:
        for member in outer:
            content = outer.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            head = content.read(262)
            content.seek(0)
            if head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar":
                yield from _layer(content)
            else:
                yield member.name, content.read()


def _layer(content: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=content, mode="r:*") as layer:
        for member in layer:
            read = layer.extractfile(member) if member.isfile() else None
            yield member.name, b"" if read is None else read.read()
            # A link may point to a secret by its name.
            if member.linkname:
                yield f"{member.name} -> {member.linkname}", b""


def holders(archive: Path, text: str) -> list[str]:
    """The files, in whatever layer, whose name or content has the text in it."""
    needle = text.encode()
    return [name for name, content in files(archive) if needle in content or text in name]
