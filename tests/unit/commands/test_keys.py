"""`mms keys`: a key that is shown once, with its entry; how long those that are set are valid."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from app.core.api_keys import ApiKey, read_keys
from app.keys import main
from tests.support.commands import Ended, inside

NOW = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()
DIGEST = sha256(b"a key").hexdigest()


def keys(folder: Path, *words: str, **settings: str) -> Ended:
    with inside(folder, **settings) as (shown, said):
        code = main(words, "mms keys", lambda: NOW)
    return Ended(code, shown.getvalue(), said.getvalue())


def entry_of(ended: Ended) -> ApiKey:
    """The entry of a new key; its digest is that of the key above it."""
    (label, key), (other, line) = (each.split() for each in ended.shown.splitlines())
    assert (ended.code, label, other) == (0, "key", "entry")
    (entry,) = read_keys(line)
    assert entry.digest == sha256(key.encode()).digest()
    assert key not in line + ended.said
    return entry


@pytest.mark.parametrize("words", [(), ("new",)])
def test_without_arguments_a_key_for_everything_is_made_for_a_year(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    entry = entry_of(keys(tmp_path, *words))
    assert (entry.id, sorted(entry.scopes)) == ("key-2026-11-30", ["collect", "read"])
    assert entry.expires == date(2027, 11, 30)


@pytest.mark.parametrize(
    ("period", "last"),
    [(("--days", "1"), date(2026, 12, 1)), (("--expires", "2026-11-30"), date(2026, 11, 30))],
)
def test_id_scopes_and_last_day_are_those_of_the_command_line(
    tmp_path: Path, period: tuple[str, ...], last: date
) -> None:
    entry = entry_of(keys(tmp_path, "new", "ops.2", "--scopes", "Collect", *period))
    assert (entry.id, sorted(entry.scopes), entry.expires) == ("ops.2", ["collect"], last)


def test_with_json_the_key_and_its_entry_are_one_object_and_nothing_else_is_printed(
    tmp_path: Path,
) -> None:
    ended = keys(tmp_path, "new", "ops", "--scopes=read", "--json")
    printed = json.loads(ended.shown)
    key = printed.pop("key")
    digest = sha256(key.encode()).hexdigest()
    assert printed == {
        "command": "keys",
        "exit": 0,
        "id": "ops",
        "scopes": ["read"],
        "expires": "2027-11-30",
        "entry": f"ops:read:2027-11-30:{digest}",
    }
    assert ended.said == ""


def test_a_key_is_made_where_the_api_would_not_start(tmp_path: Path) -> None:
    """It is what an API in production lacks before its first start."""
    refused = {"ENV": "prod", "DB_URL": "mysql://x/y", "API_KEYS": "nonsense", "LOG_LEVEL": "DEBUG"}
    entry_of(keys(tmp_path, **refused))
    listed = keys(tmp_path, "list", "--json", **refused)
    assert (listed.code, listed.summary["error"]) == (2, "ConfigurationError")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("new", f"mms_{'x' * 43}"), "that is no id, which has up to 40 letters"),
        (("new", "ops", "--scopes", "read+write"), "'read+write' names a scope that does not"),
        (("new", "ops", "--expires", "2026-11-29"), "2026-11-29 is past; write 2026-11-30"),
        (("new", "ops", "--expires", "2027-02-29"), "'2027-02-29' is no date such as"),
        (("new", "ops", "--days", "0"), "'0' is no whole number from 1 to 3650"),
        (("new", "--days=1", "--expires=2027-01-01"), "not allowed with argument"),
        (("lst",), "invalid choice: 'lst'"),
    ],
)
def test_what_cannot_be_is_refused_and_no_key_is_made(
    tmp_path: Path, words: tuple[str, ...], problem: str
) -> None:
    ended = keys(tmp_path, *words)
    assert (ended.code, ended.shown) == (2, "")
    assert problem in ended.said
    assert "x" * 43 not in ended.said


def test_the_list_says_how_long_each_key_is_valid(tmp_path: Path) -> None:
    others = [sha256(text).hexdigest() for text in (b"another", b"third")]
    file = tmp_path / "keys"
    file.write_text(
        f"ops:collect+read:2026-12-30:{DIGEST}\n"
        f"old:read:2026-11-29:{others[0]}\n"
        f"today:read:2026-11-30:{others[1]}\n"
    )
    ended = keys(tmp_path, "list", "--json", API_KEYS_FILE=str(file))
    assert ended.code == 0
    assert [line.split() for line in ended.said.splitlines()] == [
        ["id", "scopes", "last_day", "days_left", "digest"],
        ["ops", "read+collect", "2026-12-30", "30", DIGEST[:8]],
        ["old", "read", "2026-11-29", "expired", others[0][:8]],
        ["today", "read", "2026-11-30", "0", others[1][:8]],
    ]
    listed = ended.summary["keys"]
    assert [(each["expired"], each["days_left"]) for each in listed] == [
        (False, 30),
        (True, 0),
        (False, 0),
    ]
    assert listed[0] == {
        "id": "ops",
        "scopes": ["read", "collect"],
        "expires": "2026-12-30",
        "expired": False,
        "days_left": 30,
        "digest": DIGEST[:8],
    }


def test_a_list_of_no_keys_says_how_to_make_one(tmp_path: Path) -> None:
    ended = keys(tmp_path, "list")
    assert (ended.code, ended.shown.count("\n")) == (0, 1)
    assert "python -m app keys" in ended.shown
