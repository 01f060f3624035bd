"""What the Dockerfile takes for granted; `make image-check` proves the built image."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_of_the_application_the_image_keeps_modules_and_the_page_of_the_documentation() -> None:
    assert '-type f ! -name "*.py" ! -name "*.html" ! -name "*.js" -delete' in DOCKERFILE
    ignored = (ROOT / ".dockerignore").read_text()
    assert "\n!app/**/*.py\n!app/api/docs/*.html\n!app/api/docs/*.js\n" in ignored
    files = [path for path in (ROOT / "app").rglob("*") if path.is_file()]
    others = {path for path in files if path.suffix not in (".py", ".pyc")}
    others -= {*(ROOT / "app/api/docs").glob("*.html"), *(ROOT / "app/api/docs").glob("*.js")}
    assert {path.name for path in others} == {"py.typed"}  # for type checkers of what imports us


def test_both_stages_have_one_base_and_the_last_takes_only_what_the_first_one_made() -> None:
    built, last = re.split(r"(?m)^(?=FROM )", DOCKERFILE)[1:]
    assert built.startswith("FROM ${BASE} AS build\n")
    assert last.startswith("FROM ${BASE}\n")
    copies = re.findall(r"(?m)^COPY (.*)$", last)
    assert copies
    assert [line for line in copies if not line.startswith("--from=build /opt/")] == []
