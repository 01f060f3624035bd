"""What the Dockerfile takes for granted; `make image-check` proves the built image."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_of_the_application_the_image_keeps_modules_and_what_pages_are_made_of() -> None:
    kept = ("py", "html", "js", "css", "svg")
    for ending in kept:
        assert f'! -name "*.{ending}"' in DOCKERFILE
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    taken = {path for line in ignored if line.startswith("!app/") for path in ROOT.glob(line[1:])}
    files = {
        path
        for path in (ROOT / "app").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "library" not in path.parts
    }
    # The package's mark is for type checkers of what imports us.
    assert {path.name for path in files - taken} == {"py.typed"}
    # What is fetched from npm comes from the build itself.
    assert not any("library" in path.parts for path in taken)


def test_both_stages_have_one_base_and_the_last_takes_only_what_the_first_one_made() -> None:
    built, last = re.split(r"(?m)^(?=FROM )", DOCKERFILE)[1:]
    assert built.startswith("FROM ${BASE} AS build\n")
    assert last.startswith("FROM ${BASE}\n")
    copies = re.findall(r"(?m)^COPY (.*)$", last)
    assert copies
    assert [line for line in copies if not line.startswith("--from=build /opt/")] == []
