"""URLs of SQLite: each part counts or is refused, and no folder is named after a `~`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from app.core.errors import ConfigurationError, StoreUnavailable, StoreUnusable
from app.db import schema
from app.db.database import open_engine
from app.db.session import transaction

Opened = Callable[..., Engine]


@pytest.fixture
def opened() -> Iterator[Opened]:
    """Opens engines, which are closed after the test."""
    with ExitStack() as stack:

        def open_one(url: str, busy_seconds: int = 5) -> Engine:
            engine = open_engine(url, busy_seconds)
            stack.callback(engine.dispose)
            return engine

        yield open_one


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    for number, url in enumerate(
        ["sqlite:///~/0.db", "sqlite:///./~/1.db", "sqlite:///file:~/2.db?uri=true"]
    ):
        engine = open_engine(url)
        schema.migrate(engine)
        engine.dispose()
        assert (home / f"{number}.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    "path",
    ["~nobody-of-that-name/x.db", "/~/x.db", "data/~/x.db", "$HOME/x.db", "/data/${PLACE}/x.db"],
)
def test_a_path_that_nobody_expanded_is_refused_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"DB_URL: .*the whole path"):
        open_engine(f"sqlite:///{path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("cache=shared", "cache"),
        ("immutable=1&uri=true", "immutable"),
        ("isolation_level=DEFERRED", "isolation_level"),
        ("mode=memory", "mode"),
        ("mode=ro&mode=rw", "mode"),
        ("timeout=soon", "timeout"),
        ("timeout=-1", "timeout"),
        ("timeout=nan", "timeout"),
        ("uri=perhaps", "uri"),
    ],
)
def test_an_option_that_would_not_count_is_refused_by_name(
    tmp_path: Path, query: str, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"DB_URL: the option {name} "):
        open_engine(f"sqlite:///{tmp_path}/folder/x.db?{query}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file:x.db", "file:x.db?uri=false"])
def test_sqlites_own_form_of_a_name_needs_its_switch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="uri=true"):
        open_engine(f"sqlite:///{name}")


@pytest.mark.parametrize("form", ["{}/x.db?mode=ro", "file:{}/x.db?mode=ro&uri=true"])
def test_mode_ro_reads_and_does_not_write(tmp_path: Path, form: str, opened: Opened) -> None:
    url = f"sqlite:///{form.format(tmp_path)}"
    engine = opened(url)
    with pytest.raises(StoreUnusable, match="there is no database"):
        schema.migrate(engine)
    assert list(tmp_path.iterdir()) == []
    schema.migrate(opened(f"sqlite:///{tmp_path}/x.db"))
    schema.require(engine)
    with (
        pytest.raises(StoreUnavailable, match="mode=ro"),
        transaction(engine) as connection,
    ):
        connection.execute(text("DELETE FROM leases"))


def test_mode_rw_makes_no_file_and_rwc_does(tmp_path: Path, opened: Opened) -> None:
    with pytest.raises(StoreUnusable, match="there is no database"):
        schema.migrate(opened(f"sqlite:///{tmp_path}/x.db?mode=rw"))
    assert list(tmp_path.iterdir()) == []
    schema.migrate(opened(f"sqlite:///{tmp_path}/x.db?mode=rwc"))
    schema.require(opened(f"sqlite:///{tmp_path}/x.db?mode=rw"))


def test_the_time_out_of_the_url_is_how_long_a_write_waits(tmp_path: Path, opened: Opened) -> None:
    (tmp_path / "x.db").touch()
    for query, expected in (("", 7_000), ("?timeout=0.25", 250)):
        engine = opened(f"sqlite:///{tmp_path}/x.db{query}", 7)
        with engine.connect() as connection:
            assert connection.scalar(text("PRAGMA busy_timeout")) == expected
