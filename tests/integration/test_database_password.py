"""The password of a database: from PGPASSWORD, as the tasks in AWS get it, or from the URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.commands import run
from tests.support.postgres import Postgres
from tests.support.processes import ended, process

PASSWORD = "0123456789abcdef" * 4
"""As infra/terraform draws it: 64 hexadecimal digits."""


def migrate(folder: Path, url: str, **settings: str) -> tuple[int, str]:
    """Run the migration; returns its exit code and what it said."""
    with process(folder, "-m", "app.commands.migrate", DB_URL=url, **settings) as child:
        return ended(child)


def test_the_password_comes_from_the_environment_and_a_wrong_one_is_refused(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    with postgres_server.guarded(PASSWORD) as guarded:
        wrong = "0" * 64
        code, said = migrate(tmp_path, guarded, PGPASSWORD=wrong)
        assert code == 2
        assert wrong not in said
        code, said = migrate(tmp_path, guarded, PGPASSWORD=PASSWORD)
        assert (code, "migrated to" in said) == (0, True), said


@pytest.mark.parametrize(
    "password", ["Zq@7", "@:/?#%[] &=+;,$'\"\\`<>|^{}", "%41", "100%", "pä$${x}", ":/?#%zz"]
)
def test_a_password_of_any_characters_arrives_from_the_url(
    password: str, postgres_server: Postgres, tmp_path: Path
) -> None:
    written = {quote(password, safe="")}
    if password == ":/?#%zz":
        written.add(password)  # what is accepted unescaped means itself
    with postgres_server.guarded(password) as guarded:
        for login in written:
            url = guarded.replace("guarded@", f"guarded:{login}@")
            assert run(tmp_path, "commands.migrate", DB_URL=url).code == 0, login
            end = run(tmp_path, "commands.migrate", DB_URL=url.replace(f"{login}@", f"{login}x@"))
            assert (end.code, "password authentication failed" in end.said) == (2, True), end.said
