"""The versions that are rehearsed are today's code with changes that can still be made to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.db.schema import HEAD
from infra.rehearsal import images
from infra.rehearsal.versions import every


@pytest.mark.parametrize("name", every(HEAD))
def test_a_version_can_be_made_of_the_code_as_it_is(tmp_path: Path, name: str) -> None:
    changes, files = every(HEAD)[name]
    made = images.build(tmp_path / name, changes, files)
    for path, (_, new) in changes.items():
        assert new in (made / path).read_text()
    for path, text in files.items():
        assert (made / path).read_text() == text
