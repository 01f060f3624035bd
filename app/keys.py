"""Make an API key, or list the keys that are set.

`new`, which is meant where neither is named, prints a random key and its entry for API_KEYS. The
entry holds the key's digest, and the key itself is stored nowhere. No setting is read, so a key can
be made before the API starts for the first time. `list` reads API_KEYS or API_KEYS_FILE and shows
how long each key is valid.

exit codes: 0 done; 2 a word of the command line or a setting is refused
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

from app.commands import output
from app.commands.command import (
    DONE,
    Parser,
    add_json,
    plain_parser,
    run_without_settings,
    whole_number,
)
from app.core import logging
from app.core.api_keys import (
    ID_RULE,
    SCOPES,
    ApiKey,
    day_of,
    digest_of,
    is_id,
    new_key,
    scopes_of,
)
from app.core.how_to_run import how_to_run
from app.core.ports import Clock
from app.core.settings import load_settings

COMMAND: Final = "keys"

_WORDS: Final = frozenset(["new", "list", "-h", "--help"])
_DAYS: Final = 365
_MOST_DAYS: Final = 3_650
_DIGITS: Final = 8
"""How much of a digest is shown: enough to tell keys of one id apart."""


def main(
    argv: Sequence[str] | None = None,
    prog: str = f"python -m app.{COMMAND}",
    clock: Clock = time.time,
) -> int:
    """Make a key, or list those that are set. Exit 0, or 2 where something is refused."""
    words = list(sys.argv[1:] if argv is None else argv)
    if (not words or words[0].startswith("-")) and _WORDS.isdisjoint(words):
        words.insert(0, "new")
    today = datetime.fromtimestamp(clock(), UTC).date()
    parser = _parser(prog, today)
    return run_without_settings(
        COMMAND, parser, words, lambda options: options.work(options, today), stays="no key is made"
    )


def _parser(prog: str, today: date) -> Parser:
    parser = plain_parser(prog, __doc__)
    commands = parser.add_subparsers(required=True, metavar="new|list")
    new = commands.add_parser(
        "new", help="make a key and print it once", description="Make a key and print it once."
    )
    new.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        type=_id,
        default=f"key-{today.isoformat()}",
        help=f"the key's name in the log: {ID_RULE} (default: key- and today's date)",
    )
    new.add_argument(
        "--scopes",
        metavar="SCOPES",
        type=_scopes,
        default=frozenset(SCOPES),
        help="read, collect or read+collect (default)",
    )
    end = new.add_mutually_exclusive_group()
    end.add_argument(
        "--days",
        metavar="N",
        type=whole_number(1, _MOST_DAYS),
        default=_DAYS,
        help=f"valid for N more days after today, by UTC (default: {_DAYS})",
    )
    end.add_argument(
        "--expires", metavar="DATE", type=_day_from(today), help="the last day, such as 2027-12-31"
    )
    add_json(new)
    new.set_defaults(work=_new)
    listed = commands.add_parser(
        "list", help="list the keys that are set", description="List the keys that are set."
    )
    add_json(listed)
    listed.set_defaults(work=_list)
    return parser


def _id(text: str) -> str:
    if not is_id(text):
        # It is not repeated: it may be a key in the wrong place.
        raise argparse.ArgumentTypeError(f"that is no id, which has {ID_RULE}")
    return text


def _scopes(text: str) -> frozenset[str]:
    scopes = scopes_of(text)
    if scopes is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} names a scope that does not exist; write any of {', '.join(SCOPES)}, with + "
            "between"
        )
    return scopes


def _day_from(today: date) -> Callable[[str], date]:
    """An argument type: a day that is not past."""

    def read(text: str) -> date:
        day = day_of(text)
        if day is None:
            raise argparse.ArgumentTypeError(f"{text!r} is no date such as 2027-12-31")
        if day < today:
            raise argparse.ArgumentTypeError(f"{text} is past; write {today} (UTC) or a later day")
        return day

    return read


def _new(options: argparse.Namespace, today: date) -> int:
    secret = new_key()
    expires = options.expires or today + timedelta(days=options.days)
    key = ApiKey(options.id, options.scopes, expires, digest_of(secret.encode()))
    if options.json:
        output.json_line(
            {
                "command": COMMAND,
                "exit": DONE,
                "id": key.id,
                "scopes": _sorted(key),
                "expires": key.expires.isoformat(),
                "key": secret,
                "entry": str(key),
            }
        )
        return DONE
    output.result(f"key    {secret}")
    output.result(f"entry  {key}")
    for line in _advice(key):
        output.say(line)
    return DONE


def _advice(key: ApiKey) -> Sequence[str]:
    return (
        "",
        f"Keep the key now: it is not shown again. It is valid until the end of {key.expires} UTC.",
        "  to send it:         the header Authorization: Bearer KEY",
        "  to let it in:       the entry in API_KEYS, or in a line of the file of API_KEYS_FILE:",
        f"                      (umask 077; echo '{key}' >> FILE)",
        "  to replace another: add this entry, move the clients to this key, remove the other's",
        "                      entry. Several keys may be valid at a time.",
    )


def _list(options: argparse.Namespace, today: date) -> int:
    settings = load_settings()
    logging.configure(settings.log_level, settings.log_format, secrets=settings.secrets())
    keys = settings.api_keys
    if keys:
        head = ("id", "scopes", "last_day", "days_left", "digest")
        output.table(head, [_row(key, today) for key in keys])
    else:
        new = how_to_run("keys")
        output.line(f"no key in API_KEYS or the file of API_KEYS_FILE; {new} makes one")
    if options.json:
        entries = [
            {
                "id": key.id,
                "scopes": _sorted(key),
                "expires": key.expires.isoformat(),
                "expired": key.expires < today,
                "days_left": max(0, (key.expires - today).days),
                "digest": _digits(key),
            }
            for key in keys
        ]
        output.json_line({"command": COMMAND, "exit": DONE, "keys": entries})
    return DONE


def _row(key: ApiKey, today: date) -> Sequence[object]:
    left = "expired" if key.expires < today else (key.expires - today).days
    return key.id, "+".join(_sorted(key)), key.expires, left, _digits(key)


def _sorted(key: ApiKey) -> list[str]:
    return [scope for scope in SCOPES if scope in key.scopes]


def _digits(key: ApiKey) -> str:
    return key.digest.hex()[:_DIGITS]


if __name__ == "__main__":
    sys.exit(main())
