"""Which file a demo works on."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.errors import ConfigurationError
from app.demo import own_database


def test_each_demo_has_a_database_of_its_own_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with own_database() as first:
        assert first == Path("data/demo.db")
        assert capsys.readouterr().out == ""
        with own_database() as second, own_database() as third:
            assert (second, third) == (Path("data/demo-2.db"), Path("data/demo-3.db"))
        assert capsys.readouterr().out == (
            "Another demo is using data/demo.db; this one has data/demo-2.db.\n"
            "Another demo is using data/demo.db; this one has data/demo-3.db.\n"
        )
    with own_database() as again:
        assert again == first


def test_a_folder_that_cannot_be_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigurationError, match=r"data/demo.db cannot be used"), own_database():
        pytest.fail("there is no folder")
