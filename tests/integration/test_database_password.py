"""A database URL without a password takes it from PGPASSWORD, as the tasks in AWS get it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import Postgres
from tests.support.processes import ended, process

PASSWORD = "0123456789abcdef" * 4
"""As infra/terraform draws it: 64 hexadecimal digits."""


@pytest.fixture
def guarded(postgres_server: Postgres) -> Iterator[str]:
    """The URL of a database whose user has to know the password, without the password."""
    rules = Path(postgres_server.sql("SHOW hba_file"))
    before = rules.read_text()
    url = postgres_server.create()
    name = url.rpartition("/")[2]
    postgres_server.sql(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
    postgres_server.sql(f"ALTER DATABASE {name} OWNER TO guarded")
    rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}")
    postgres_server.sql("SELECT pg_reload_conf()")
    try:
        yield url.replace("mms@", "guarded@")
    finally:
        rules.write_text(before)
        postgres_server.sql("SELECT pg_reload_conf()")
        postgres_server.drop(url)
        postgres_server.sql("DROP ROLE guarded")


def migrate(folder: Path, url: str, **settings: str) -> tuple[int, str]:
    """Run the migration; returns its exit code and what it said."""
    with process(folder, "-m", "app.commands.migrate", DB_URL=url, **settings) as child:
        return ended(child)


def test_the_password_comes_from_the_environment_and_a_wrong_one_is_refused(
    guarded: str, tmp_path: Path
) -> None:
    wrong = "0" * 64
    code, said = migrate(tmp_path, guarded, PGPASSWORD=wrong)
    assert code == 2
    assert wrong not in said
    code, said = migrate(tmp_path, guarded, PGPASSWORD=PASSWORD)
    assert (code, "migrated to" in said) == (0, True), said
