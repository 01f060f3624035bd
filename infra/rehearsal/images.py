"""Images without an engine: a folder with what the Dockerfile copies, named by its content.

The registry (moto's ECR) gets a real OCI manifest whose one layer is the digest of the folder, so
that an image's name says what is in it here as well. The Dockerfile itself is built and judged by
`make image-check`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from infra.rehearsal.world import ROOT

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"


def build(folder: Path, changes: Mapping[str, tuple[str, str]], files: Mapping[str, str]) -> Path:
    """Make an image: the code with `changes` (path to old and new text) and further `files`."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "app", folder / "app", ignore=ignored)
    shutil.copytree(ROOT / "infra" / "image", folder / "infra" / "image", ignore=ignored)
    (folder / "infra" / "image" / "entrypoint.sh").chmod(0o755)
    for name, (old, new) in changes.items():
        text = (folder / name).read_text(encoding="utf-8")
        if old not in text:
            raise LookupError(f"{name} no longer holds what the rehearsal changes: {old!r}")
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def push(ecr: Any, repository: str, tag: str, folder: Path) -> str:
    """Put an image into the registry; returns its digest."""
    layer = _described(_LAYER, _content(folder))
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _described(_CONFIG, json.dumps({"tag": tag}).encode()),
        "layers": [layer],
    }
    put = ecr.put_image(
        repositoryName=repository,
        imageManifest=json.dumps(manifest),
        imageManifestMediaType=_MANIFEST,
        imageTag=tag,
    )
    return str(put["image"]["imageId"]["imageDigest"])


def _content(folder: Path) -> bytes:
    """Every file's name and bytes, in one order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"".join(str(f.relative_to(folder)).encode() + b"\0" + f.read_bytes() for f in files)


def _described(kind: str, content: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}
