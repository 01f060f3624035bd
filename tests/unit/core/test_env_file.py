"""`.env`: what it says, and what stops the start instead of being left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.core.env_file import read_env_file
from app.core.errors import ConfigurationError
from app.core.settings import load_settings
from app.workers import incremental_loader

SECRET = "quite-secret"


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def refused(env_file: Path) -> str:
    """What is said of a file that cannot be used; one line, and no value of the file in it."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(env_file)
    said = str(caught.value)
    assert said.startswith(str(env_file))
    assert "\n" not in said
    assert SECRET not in said
    return said


def test_lines_of_names_and_values_are_read(env_file: Path) -> None:
    env_file.write_text(
        '\ufeff# a comment\n\nexport HOST = ::1 # here\nDB_URL="sqlite:///a b.db"\nAPI=\n'
    )
    assert read_env_file(env_file) == {"HOST": "::1", "DB_URL": "sqlite:///a b.db", "API": ""}
    assert load_settings(env_file).host == "::1"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"PORT=8001\n\n\n  DB_URL='postgresql://mms:{SECRET}@db/mms\nHOST=::1\n", 4),
        # The quote closes where the next one opens, and what follows that is too much.
        (f'PORT=8001\nDB_URL="postgresql://mms:{SECRET}@db/mms\nHOST="::1"\n', 2),
        (f"# database\nDB_URL:postgresql://mms:{SECRET}@db/mms\n", 2),
        ("PORT=8001\nDB_URL\n", 2),
        ("=8001\n", 1),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_never_dropped(
    env_file: Path, text: str, line: int
) -> None:
    env_file.write_text(text)
    said = refused(env_file)
    assert f", line {line}, is no NAME=value" in said
    assert "correct the line" in said


def test_a_name_that_is_almost_a_settings_is_refused(env_file: Path) -> None:
    for wrong, right in (("CACHE_URI", "CACHE_URL"), ("DB_URI_FILE", "DB_URL_FILE")):
        env_file.write_text(f"{wrong}={SECRET}\nOTHER_PROGRAMS=1\n")
        with pytest.raises(
            ConfigurationError, match=f"^{wrong} .* {right} is: rename it"
        ) as caught:
            load_settings(env_file)
        assert SECRET not in str(caught.value)


def test_a_file_that_is_no_utf_8_is_refused_with_the_line(env_file: Path) -> None:
    env_file.write_bytes("PORT=8001\n# preços\nHOST=::1\n".encode("latin-1"))
    said = refused(env_file)
    assert ", line 2, is no UTF-8 text" in said
    assert "save the file as UTF-8" in said


def test_what_is_no_file_or_cannot_be_read_is_refused_and_not_waited_for(env_file: Path) -> None:
    os.mkfifo(env_file)
    assert "is no regular file" in refused(env_file)
    env_file.unlink()
    env_file.symlink_to("absent")
    assert "is no regular file" in refused(env_file)
    unreadable = Path("/proc/self/mem")
    if unreadable.exists():  # a file that even root cannot read
        env_file.unlink()
        env_file.symlink_to(unreadable)
        assert "cannot be read" in refused(env_file)


def test_a_command_ends_with_2_and_one_line(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(env_file.parent)
    for content in (b"PORT=\xff\n", b'DB_URL="sqlite:///mine.db\n'):
        env_file.write_bytes(content)
        assert incremental_loader.main([]) == 2
        said = capsys.readouterr().err
        assert said.startswith("incremental_loader: could not start: .env, line 1, is no ")
        assert said.count("\n") == 1
    assert list(env_file.parent.iterdir()) == [env_file]
