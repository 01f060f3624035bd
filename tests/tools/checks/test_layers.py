"""Looking for a secret in an image finds it wherever a layer may hold it."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from checks.image import layers


def tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return made.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_every_file_of_every_layer_is_searched(tmp_path: Path, pack: type[bytes]) -> None:
    first = tar({"data/mms.db": b"password=hidden", "ok.py": b"pass"}, {"link": "hidden"})
    second = tar({"data/.wh.mms.db": b""})  # deleted later, and still there
    image = tmp_path / "image.tar"
    image.write_bytes(
        tar(
            {
                "one/layer.tar": pack(first),
                "blobs/sha256/two": pack(second),
                "config.json": b'{"Env": ["KEY=hidden"]}',
                "hidden.json": b"{}",
            }
        )
    )
    assert layers.holders(image, "hidden") == [
        "data/mms.db",
        "link -> hidden",
        "config.json",
        "hidden.json",
    ]
    assert layers.holders(image, "absent") == []
